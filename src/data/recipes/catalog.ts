import { UserError } from "../../core/errors.ts";
import { cifar10Test, cifar10Train } from "./cifar10.ts";
import { emoji, emojiTwitter } from "./emoji.ts";
import { emojiIcons } from "./emoji-icons.ts";
import { fashionMnistTest, fashionMnistTrain } from "./fashion-mnist.ts";
import { fashionProductsTest, fashionProductsTrain } from "./fashion-products.ts";
import { flickr8kTest, flickr8kTrain } from "./flickr8k.ts";
import { gcompris } from "./gcompris.ts";
import { openclipart } from "./openclipart.ts";
import type { Recipe } from "./recipe.ts";
import { tinyImageNetTrain, tinyImageNetVal } from "./tiny-imagenet.ts";
import { tuxpaint, tuxpaintPhotos } from "./tuxpaint.ts";

/** Every recipe: the sets for training first, then those for evaluation only. */
export const recipes: readonly Recipe[] = [
  tinyImageNetTrain,
  emoji,
  emojiIcons,
  openclipart,
  flickr8kTrain,
  fashionProductsTrain,
  tinyImageNetVal,
  cifar10Test,
  cifar10Train,
  emojiTwitter,
  flickr8kTest,
  fashionProductsTest,
  tuxpaint,
  tuxpaintPhotos,
  gcompris,
  fashionMnistTest,
  fashionMnistTrain,
];

/** The recipe called `name`. @throws UserError `not-found` listing the names there are */
export function findRecipe(name: string): Recipe {
  const recipe = recipes.find((one) => one.name === name);
  if (recipe !== undefined) return recipe;
  const known = recipes.map((one) => one.name).join(", ");
  throw new UserError("not-found", `Recipe: must be one of ${known}, got "${name}". See \`florence data list\`.`);
}

import { expect, it } from "vitest";
import { licencesOf } from "./detector-card.ts";

it("finds licences in composites' info and in COCO's own fields, at any depth, each once", () => {
  const about = {
    train: {
      info: {
        cutouts: [{ licence: "GPL-2" }, { licence: "MIT" }],
        backgrounds: { licence: "CC BY-SA 3.0", title: "x" },
      },
      licenses: [{ id: 1, name: "CC BY 4.0", url: "elsewhere" }],
    },
    val: { info: { cutouts: [{ licence: "GPL-2" }] } },
  };
  expect(licencesOf(about)).toEqual(["GPL-2", "MIT", "CC BY-SA 3.0", "CC BY 4.0"]);
  expect(licencesOf({ info: { name: "no licence" } })).toEqual([]);
});

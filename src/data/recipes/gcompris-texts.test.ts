import { describe, expect, it } from "vitest";
import { explainedPictures, firstSentence, nameInWords, titleAsLabel } from "./gcompris-texts.ts";

const board = `QtObject {
    property string instructions: qsTr("Explore.")
    property var tab : [
        {
            "image": "qrc:/act/question.svg",
            "title": qsTr("Red \\"Fox\\""),
            "text": qsTr("The fox hunts by night. It is small.\\nIt sleeps by day."),
            "image2": "qrc:/act/fox.webp",
            "text2": qsTr("Fox"),
            "x": 0.32
        },
        {
            "title": qsTr("No picture"),
            "text": qsTr("Nothing to see.")
        }
    ]
}`;

describe("GCompris' texts", () => {
  it("are read from a board's objects that have title, text and picture", () => {
    expect(explainedPictures(board)).toEqual([
      { path: "/act/fox.webp", title: 'Red "Fox"', text: "The fox hunts by night. It is small. It sleeps by day." },
    ]);
    expect(explainedPictures("no board")).toEqual([]);
  });

  it("give first sentences, not cut at abbreviations in lower case", () => {
    expect(firstSentence("The fox hunts by night. It is small.")).toBe("The fox hunts by night");
    expect(firstSentence("Long ago (ca. 2000 years). Then")).toBe("Long ago (ca. 2000 years)");
    expect(firstSentence("No end")).toBe("No end");
  });

  it("give labels from titles and file names", () => {
    expect(["Taj Mahal, India", "The Great Wall of China", "Panda"].map(titleAsLabel)).toEqual([
      "taj mahal",
      "great wall of china",
      "panda",
    ]);
    const names = ["a/screwDriver2.webp", "b/measuringTape.webp", "c/monument3.webp", "d/12.webp"];
    expect(names.map(nameInWords)).toEqual(["screwdriver", "measuring tape", undefined, undefined]);
  });
});

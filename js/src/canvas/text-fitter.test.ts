import { describe, expect, it } from "vitest";
import { RecordingContext } from "../testing/canvas";
import { TextFitter } from "./text-fitter";

describe("texts cut to a width", () => {
  it("keeps what fits and cuts the rest with an ellipsis", () => {
    const { context } = new RecordingContext();
    const fitter = new TextFitter();
    const font = "10px Sans";
    context.font = font;
    expect(fitter.fit(context, "search", 36, font)).toBe("search");
    expect(fitter.fit(context, "search", 35, font)).toBe("sear…");
    expect(fitter.fit(context, "search", 5, font)).toBe("");
  });

  it("does not cut a sign of two halves apart", () => {
    const canvas = new RecordingContext();
    canvas.measureText = (text) => ({ width: text.length * 6 });
    expect(new TextFitter().fit(canvas.context, "😀😀😀😀", 24, "10px Sans")).toBe("😀…");
  });
});

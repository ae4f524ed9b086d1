/**
 * What d3-zoom asks of d3-transition and d3-interpolate, for the bundle (build.mjs puts it in their place). This picture glides by
 * itself (`Camera.step`) and d3-zoom only reads its gestures, so no transition ever runs that could be interrupted or filled in.
 */
export function interrupt(): void {}

export function interpolateZoom(): never {
  throw new Error("d3-zoom was asked for a transition, which the bundle leaves out: move the picture by Camera");
}

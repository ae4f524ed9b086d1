/** One run of spans, drawn by this library and by what people would use instead; each in a page of its own, timed alike. */
import cytoscape from "cytoscape";
import { forceCenter, forceLink, forceManyBody, forceSimulation } from "d3-force";
import { select } from "d3-selection";
import Graph from "graphology";
import Sigma from "sigma";
import { Model } from "../../src/model/model";
import { FakeKernel } from "../../src/testing/kernel";
import { figures, makeRun } from "../../src/testing/runs";
import { KIND_COLORS } from "../../src/theme";
import { mountView } from "../../src/workbench/mount";

const TRACE = "run-1";
const KINDS = { orchestrator: 0, agent: 1, llm: 2, tool: 3 };
const SIZES = [40, 35, 60, 50];
/** Who is slow shows it in fewer frames. */
const PATIENCE_MS = 15_000;

/** Until what was done is laid out and painted: the frame after the next one has begun. */
const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())));

/** Places by time and by depth in the tree, for those who bring no layout that suits a tree of this size. */
function places(spans) {
  const depths = new Int32Array(spans.length);
  const { start } = spans[0];
  return spans.map((span, i) => {
    depths[i] = span.parent === null ? 0 : depths[span.parent] + 1;
    return { x: (span.start - start) / 40, y: depths[i] * 120 + (i % 40) * 70 };
  });
}

/** Each gives what pans by px and what zooms by a factor. */
const drawers = {
  async anton(root, spans) {
    const kernel = new FakeKernel();
    kernel.setTrait("height", root.clientHeight);
    kernel.show([TRACE]);
    const connection = kernel.connect();
    const model = new Model(connection);
    mountView(root, model, connection, new AbortController().signal);
    await painted();
    for (const span of spans) kernel.put(span);
    kernel.runs = [figures(spans, TRACE)];
    const held = [];
    const deliver = connection.deliver.bind(connection);
    connection.deliver = (...message) => held.push(message);
    kernel.flush();
    await painted();
    const from = performance.now();
    const seen = new Promise((done) => root.addEventListener("anton:painted", done, { once: true }));
    for (const message of held) deliver(...message);
    await seen;
    await painted();
    const first = performance.now() - from;
    const stage = root.querySelector(".an-stage");
    const box = stage.getBoundingClientRect();
    const middle = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
    const wheel = (more) => stage.dispatchEvent(new WheelEvent("wheel", { ...middle, cancelable: true, ...more }));
    return {
      first,
      pan: (dx, dy) => {
        const to = { ...middle, clientX: middle.clientX + dx, clientY: middle.clientY + dy };
        stage.dispatchEvent(new MouseEvent("mousedown", { ...middle, view: window, ctrlKey: false }));
        window.dispatchEvent(new MouseEvent("mousemove", { ...to, view: window }));
        window.dispatchEvent(new MouseEvent("mouseup", { ...to, view: window }));
      },
      zoom: (factor) => wheel({ deltaY: -Math.log2(factor) * 500 }),
    };
  },

  /** The floor: a canvas of the same size that is wiped and gets one dot. */
  async floor(root) {
    const canvas = document.createElement("canvas");
    canvas.width = root.clientWidth;
    canvas.height = root.clientHeight;
    root.append(canvas);
    const context = canvas.getContext("2d");
    let at = 0;
    const show = () => {
      context.clearRect(0, 0, canvas.width, canvas.height);
      at = (at + 3) % canvas.width;
      context.fillRect(at, 100, 4, 4);
    };
    const soon = () => requestAnimationFrame(show);
    const from = performance.now();
    show();
    await painted();
    return { first: performance.now() - from, pan: soon, zoom: soon };
  },

  async d3(root, spans) {
    const from = performance.now();
    const nodes = spans.map((span, index) => ({ index, kind: KINDS[span.kind] }));
    const links = spans.flatMap((span, i) => (span.parent === null ? [] : [{ source: span.parent, target: i }]));
    const { clientWidth: width, clientHeight: height } = root;
    const simulation = forceSimulation(nodes)
      .force("link", forceLink(links))
      .force("charge", forceManyBody())
      .force("middle", forceCenter(width / 2, height / 2))
      .stop();
    simulation.tick();
    const group = select(root).append("svg").attr("width", width).attr("height", height).append("g");
    group
      .selectAll("line")
      .data(links)
      .join("line")
      .attr("stroke", "#bbb")
      .attr("x1", (link) => link.source.x)
      .attr("y1", (link) => link.source.y)
      .attr("x2", (link) => link.target.x)
      .attr("y2", (link) => link.target.y);
    group
      .selectAll("circle")
      .data(nodes)
      .join("circle")
      .attr("r", 5)
      .attr("cx", (node) => node.x)
      .attr("cy", (node) => node.y)
      .attr("fill", (node) => KIND_COLORS[node.kind]);
    await painted();
    const first = performance.now() - from;
    let [k, x, y] = [1, 0, 0];
    const show = () => group.attr("transform", `translate(${x},${y}) scale(${k})`);
    return {
      first,
      pan: (dx, dy) => {
        x += dx;
        y += dy;
        show();
      },
      zoom: (factor) => {
        k *= factor;
        x = width / 2 - (width / 2 - x) * factor;
        y = height / 2 - (height / 2 - y) * factor;
        show();
      },
    };
  },

  async cytoscape(root, spans) {
    const at = places(spans);
    const from = performance.now();
    const elements = spans.flatMap((span, i) => {
      const node = {
        data: { id: `${i}`, color: KIND_COLORS[KINDS[span.kind]], size: SIZES[KINDS[span.kind]], name: span.name },
        position: at[i],
      };
      return span.parent === null ? [node] : [node, { data: { source: `${span.parent}`, target: `${i}` } }];
    });
    const style = [
      {
        selector: "node",
        style: { "background-color": "data(color)", width: "data(size)", height: "data(size)", label: "data(name)" },
      },
      { selector: "edge", style: { "curve-style": "haystack", width: 1 } },
    ];
    const options = { hideEdgesOnViewport: true, textureOnViewport: true, pixelRatio: 1 };
    const cy = cytoscape({ container: root, elements, style, layout: { name: "preset" }, ...options });
    await new Promise((done) => cy.ready(done));
    await painted();
    const first = performance.now() - from;
    const middle = { x: root.clientWidth / 2, y: root.clientHeight / 2 };
    return {
      first,
      pan: (x, y) => cy.panBy({ x, y }),
      zoom: (factor) => cy.zoom({ level: cy.zoom() * factor, renderedPosition: middle }),
    };
  },

  async sigma(root, spans) {
    const at = places(spans);
    const from = performance.now();
    const graph = new Graph();
    spans.forEach((span, i) => {
      const kind = KINDS[span.kind];
      graph.addNode(i, {
        x: at[i].x,
        y: -at[i].y,
        size: SIZES[kind] / 12,
        color: KIND_COLORS[kind],
        label: span.name,
      });
    });
    for (const [i, span] of spans.entries()) if (span.parent !== null) graph.addEdge(span.parent, i, { size: 1 });
    const sigma = new Sigma(graph, root);
    await painted();
    const first = performance.now() - from;
    const camera = sigma.getCamera();
    const by = (change) => camera.setState(change(camera.getState()));
    return {
      first,
      pan: (dx, dy) =>
        by((s) => ({ ...s, x: s.x - (dx / root.clientWidth) * s.ratio, y: s.y + (dy / root.clientHeight) * s.ratio })),
      zoom: (factor) => by((s) => ({ ...s, ratio: s.ratio / factor })),
    };
  },
};

/** Milliseconds to the first picture and of every frame, while it is panned and zoomed in and out again. */
window.measure = async (who, size, frames) => {
  const spans = makeRun({ spans: size, trace: TRACE, seed: 7 });
  const root = document.getElementById("cell");
  const { first, pan, zoom } = await drawers[who](root, spans);
  const took = [];
  await painted();
  const end = performance.now() + PATIENCE_MS;
  for (let i = 0; i < frames && performance.now() < end; i++) {
    const from = performance.now();
    if (i % 3 === 0) zoom(i < frames / 2 ? 1.12 : 1 / 1.12);
    else pan(i % 2 ? 14 : -9, i % 4 < 2 ? 6 : -6);
    await new Promise((done) => requestAnimationFrame(done));
    // what the frame draws follows its callbacks; a message comes after it
    await new Promise((done) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = done;
      port2.postMessage(0);
    });
    took.push(performance.now() - from);
  }
  return { first, took };
};
window.ready = true;

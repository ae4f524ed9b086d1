/** Bundles src/ into the Python package: `npm run build`, or `npm run watch` while working on it. */
import { readFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, context } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const given = process.argv.indexOf("--out");
const out = given < 0 ? resolve(here, "../anton_notebook/static") : resolve(process.argv[given + 1]);

const options = {
  absWorkingDir: here,
  // Each becomes one self-contained file: a widget's module is loaded from memory and cannot import its neighbours.
  entryPoints: [
    { in: "src/index.ts", out: "widget" },
    { in: "src/style.css", out: "widget" },
    { in: "src/panels/rerun/editor.ts", out: "editor" },
    { in: "src/dashboard/index.ts", out: "dashboard" },
    { in: "src/dashboard/style.css", out: "dashboard" },
    { in: "src/standalone.ts", out: "standalone" },
  ],
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  define: { "define.amd": "false" },
  legalComments: "none",
  logLevel: "warning",
};

if (process.argv.includes("--watch")) {
  await (await context({ ...options, logLevel: "info" })).watch();
} else {
  const { metafile } = await build({ ...options, metafile: true }).catch(() => process.exit(1));
  for (const file of Object.keys(metafile.outputs)) {
    const path = resolve(here, file);
    const text = await readFile(path, "utf8");
    const zipped = gzipSync(text, { level: 9 }).length;
    console.log(`${relative(resolve(here, ".."), path)}  ${Buffer.byteLength(text)} bytes, ${zipped} gzipped`);
  }
}

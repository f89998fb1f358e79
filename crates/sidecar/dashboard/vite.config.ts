import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** The built page carries parts of others; their licences travel with it. */
function licences(parts: Record<string, string>): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const texts = Object.entries(parts).map(([name, file]) => `${name}\n\n${readFileSync(new URL(file, import.meta.url), "utf8").trim()}\n`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

// Fixed names: the binary embeds these files and answers with an ETag, so a
// hash in the name would only make every diff of dist/ a rename.
export default defineConfig({
  base: "./",
  plugins: [
    licences({
      uPlot: "node_modules/uplot/LICENSE",
      "Inter (typeface)": "node_modules/@fontsource-variable/inter/LICENSE",
    }),
  ],
  build: {
    target: ["chrome125", "firefox128", "safari18"],
    assetsInlineLimit: 0, // a data: URL would break the content security policy
    modulePreload: false,
    sourcemap: false,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/app.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: (asset) =>
          asset.names.some((name) => name.endsWith(".css")) ? "assets/app.css" : "assets/[name][extname]",
      },
    },
  },
  server: {
    proxy: { "/v1": process.env["SEAWALL_ADMIN"] ?? "http://127.0.0.1:9099" },
  },
});

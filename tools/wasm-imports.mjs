// wasm-imports.mjs MODULE…: says what a module weighs and exports; fails if it imports.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

for (const file of process.argv.slice(2)) {
    const bytes = readFileSync(file);
    const module = new WebAssembly.Module(bytes);
    const imports = WebAssembly.Module.imports(module);
    const exports = WebAssembly.Module.exports(module);
    for (const { module: from, name, kind } of imports)
        console.error(`${file}: imports ${kind} ${from}.${name}; the engine stands alone`);
    if (imports.length > 0) process.exitCode = 1;
    console.log(`${file}: ${bytes.length} B, ${gzipSync(bytes).length} B gzipped, ` +
        `${exports.length} exports, ${imports.length} imports`);
}

// wasm-tests.mjs MODULE…: runs unit tests that were built to WASM (tests/unit/test.h), each
// test in a fresh instance, so that a trap spoils no other. Works with Node 18 and later.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";

function text(memory, at) {
    const bytes = new Uint8Array(memory.buffer);
    return new TextDecoder().decode(bytes.subarray(at, bytes.indexOf(0, at)));
}

// One test's failure in words, or "" when it passed.
function run(module, index) {
    try {
        const { exports } = new WebAssembly.Instance(module, {});
        return exports.test_one(index) === 0 ? "" : "a check failed";
    } catch (error) {
        return String(error);
    }
}

// A suite may export the digest of all that it did; the native program prints its own, and
// the two are one number: that the engine does the same on every target is a test.
function compareDigests(file, suite, exports) {
    const native = join(file, "../../../..", "tests", suite);
    const { stderr } = spawnSync(native, { encoding: "utf8" });
    const theirs = /^digest (\d+)$/m.exec(stderr ?? "")?.[1];
    if (theirs === undefined) return `${native} is not built, or prints no digest`;
    const ours = BigInt.asUintN(64, exports.test_digest());
    return ours === BigInt(theirs) ? "" : `digest ${ours}, natively ${theirs}`;
}

let passed = 0;
let failed = 0;

function count(name, why) {
    if (why === "") {
        passed++;
    } else {
        failed++;
        console.log(`FAILED ${name}: ${why}`);
    }
}

for (const file of process.argv.slice(2)) {
    const suite = basename(file, ".wasm");
    const module = new WebAssembly.Module(readFileSync(file));
    const imports = WebAssembly.Module.imports(module).map(({ name }) => name);
    if (imports.length > 0) {
        count(suite, `imports ${imports.join(", ")}`);
        continue;
    }
    const { exports } = new WebAssembly.Instance(module, {});
    for (let i = 0; i < exports.test_count(); i++)
        count(`${suite} ${text(exports.memory, exports.test_name(i))}`, run(module, i));
    if (exports.test_digest)
        count(`${suite} as natively`, compareDigests(file, suite, exports));
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

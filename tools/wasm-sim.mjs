// wasm-sim.mjs MODULE NATIVE SEEDS: runs the simulator as WASM and as a native program over the
// same seeds and compares, seed by seed, the hash of every op asked and every byte sent. The
// module is an ordinary WASI program; the nine calls that it makes are here, so that nothing
// depends on how far Node's own WASI has come.
import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";

const BADF = 8;
const SPIPE = 29;

class Exit extends Error {
    constructor(code) {
        super(`exit ${code}`);
        this.code = code;
    }
}

// Runs main with the arguments; returns what it printed.
function run(module, args) {
    const words = args.map((word) => new TextEncoder().encode(`${word}\0`));
    const printed = [];
    let memory;
    const view = () => new DataView(memory.buffer);
    const calls = {
        args_sizes_get(count, size) {
            view().setUint32(count, words.length, true);
            view().setUint32(size, words.reduce((sum, word) => sum + word.length, 0), true);
            return 0;
        },
        args_get(pointers, at) {
            for (const word of words) {
                view().setUint32(pointers, at, true);
                new Uint8Array(memory.buffer).set(word, at);
                pointers += 4;
                at += word.length;
            }
            return 0;
        },
        clock_time_get(_clock, _precision, at) {
            view().setBigUint64(at, process.hrtime.bigint(), true);
            return 0;
        },
        fd_write(fd, vectors, count, written) {
            let size = 0;
            for (let i = 0; i < count; i++) {
                const at = view().getUint32(vectors + 8 * i, true);
                const length = view().getUint32(vectors + 8 * i + 4, true);
                const bytes = Buffer.from(memory.buffer, at, length);
                if (fd === 1) printed.push(Buffer.from(bytes));
                else process.stderr.write(bytes);
                size += length;
            }
            view().setUint32(written, size, true);
            return 0;
        },
        fd_fdstat_get(_fd, at) {
            new Uint8Array(memory.buffer).fill(0, at, at + 24);
            return 0;
        },
        fd_seek: () => SPIPE,
        fd_pread: () => BADF,
        fd_close: () => 0,
        proc_exit(code) {
            throw new Exit(code);
        },
    };
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: calls });
    memory = instance.exports.memory;
    try {
        instance.exports._start();
    } catch (error) {
        if (!(error instanceof Exit)) throw error;
    }
    return Buffer.concat(printed).toString();
}

// "seed 7: …, 0123456789abcdef" → 7 → the hash
function hashes(text) {
    return new Map(Array.from(text.matchAll(/^seed (\d+)\b.* ([0-9a-f]{16})$/gm), (m) => [m[1], m[2]]));
}

const [file, native, seeds] = process.argv.slice(2);
const args = ["--seeds", seeds, "--verbose", "--twice", "0"];
const got = hashes(run(new WebAssembly.Module(readFileSync(file)), ["acequia-sim", ...args]));
const want = hashes(execFileSync(native, args, { encoding: "utf8", maxBuffer: 1 << 26 }));

let passed = 0;
let failed = 0;
for (const [seed, hash] of want) {
    if (got.get(seed) === hash) {
        passed++;
    } else {
        failed++;
        console.log(`FAILED seed ${seed}: WASM ${got.get(seed)}, native ${hash}`);
    }
}
if (want.size === 0) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

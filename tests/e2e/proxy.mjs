// proxy.mjs PORT [--rate=BYTES] [--cut=BYTES] [--stall=BYTES] [--times=N]: a bad network before
// 127.0.0.1:PORT. Passes on at most `rate` bytes a second; closes a connection, or lets it hang,
// after so many bytes, which happens to the first N connections (default: all). Prints
// `port N` first, and whenever a connection ends `total N`: bytes of all connections so far, both
// ways, as they stood in TCP's stream.
import net from 'node:net';

const options = { rate: 0, cut: 0, stall: 0, times: Infinity };
for (const option of process.argv.slice(3)) {
    const [name, value] = option.slice(2).split('=');
    options[name] = Number(value);
}

let total = 0;
let connections = 0;

function serve(near) {
    const bad = ++connections <= options.times;
    const far = net.connect(Number(process.argv[2]), '127.0.0.1');
    let through = 0;
    let ended = false;

    function end() {
        if (!ended) {
            ended = true;
            near.destroy();
            far.destroy();
            console.log(`total ${total}`);
        }
    }

    for (const [from, to] of [[near, far], [far, near]]) {
        from.setNoDelay(true);
        from.on('data', (bytes) => {
            if (bad && options.stall && through > options.stall) {
                from.pause();
                return;
            }
            through += bytes.length;
            total += bytes.length;
            const room = to.write(bytes);
            if (bad && options.cut && through > options.cut) {
                end();
            } else if (options.rate) {
                from.pause();
                setTimeout(() => from.resume(), (bytes.length * 1000) / options.rate);
            } else if (!room) {
                from.pause();
                to.once('drain', () => from.resume());
            }
        });
        from.on('end', end).on('error', end).on('close', end);
    }
}

const server = net.createServer(serve).listen(0, '127.0.0.1', () => {
    console.log(`port ${server.address().port}`);
});

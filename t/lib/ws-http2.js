// WebSockets over HTTP/2 (RFC 8441): node ws-http2.js URL PATH WHAT [NUMBER]
// WHAT: echo | big | answer | reset | many. Prints JSON with what came.
'use strict';
const http2 = require('http2');
const crypto = require('crypto');

const [url, path, what, number] = process.argv.slice(2);
const session = http2.connect(url, { rejectUnauthorized: false });
session.on('error', (error) => { if (what === 'reset') { return; } console.log(JSON.stringify({ error: error.message })); process.exit(1); });
setTimeout(() => { console.log(JSON.stringify({ error: 'it hangs' })); process.exit(1); }, 30000);

function frame(opcode, payload) {
    const data = Buffer.from(payload);
    const n = data.length;
    const size = n < 126 ? [0x80 | n] : n < 65536 ? [0x80 | 126, n >> 8, n & 255] : [0x80 | 127, 0, 0, 0, 0, n >>> 24, n >> 16 & 255, n >> 8 & 255, n & 255];
    const mask = crypto.randomBytes(4);
    return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), mask, data.map((byte, i) => byte ^ mask[i & 3])]);
}

// A stream as a WebSocket: status() and next() answer promises.
function open() {
    const stream = session.request({
        ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': new URL(url).protocol.slice(0, -1), ':path': path,
        ':authority': new URL(url).host, 'sec-websocket-version': '13',
    }, { endStream: false });
    let buffer = Buffer.alloc(0), ended = false, waiting = null;
    const look = () => {
        if (!waiting) { return; }
        let n = buffer.length >= 2 ? buffer[1] & 127 : -1, at = 2;
        if (n === 126) { n = buffer.length >= 4 ? buffer.readUInt16BE(2) : -1; at = 4; }
        else if (n === 127) { n = buffer.length >= 10 ? Number(buffer.readBigUInt64BE(2)) : -1; at = 10; }
        if (n >= 0 && buffer.length >= at + n) {
            const got = { opcode: buffer[0] & 15, payload: buffer.subarray(at, at + n) };
            buffer = buffer.subarray(at + n);
            const w = waiting; waiting = null; w(got);
        } else if (ended) { const w = waiting; waiting = null; w({ ended }); }
    };
    stream.on('data', (data) => { buffer = Buffer.concat([buffer, data]); look(); });
    stream.on('end', () => { ended = 'end'; look(); });
    stream.on('error', (error) => { ended = error.code || error.message; look(); });
    stream.on('close', () => { ended = ended || 'close'; look(); });
    stream.status = new Promise((resolve) => {
        stream.on('response', (head) => resolve(head[':status']));
        stream.on('close', () => resolve(`reset ${stream.rstCode}`));
    });
    stream.say = (opcode, payload) => stream.write(frame(opcode, payload));
    stream.next = () => new Promise((resolve) => { waiting = resolve; look(); });
    return stream;
}

async function main() {
    const out = {};
    if (what === 'answer') {
        const s = open();
        out.status = await s.status;
        s.close();
    } else if (what === 'echo') {
        const s = open();
        out.status = await s.status;
        out.echoes = [];
        for (const word of ['one', 'two', 'three']) { s.say(1, word); out.echoes.push((await s.next()).payload.toString()); }
        await new Promise((resolve) => { setTimeout(resolve, 1000); });
        s.say(1, 'later');
        const since = Date.now();
        out.echoes.push((await s.next()).payload.toString());
        out.ms = Date.now() - since;
        s.say(8, Buffer.from([3, 232]));
        out.close = (await s.next()).opcode;
        out.ended = (await s.next()).ended;
    } else if (what === 'big') {
        const s = open();
        out.status = await s.status;
        s.say(1, `!size ${number}`);
        out.size = (await s.next()).payload.length;
        const data = crypto.randomBytes(Number(number));
        s.say(2, data);
        out.same = data.equals((await s.next()).payload);
        s.end();
        out.ended = (await s.next()).ended;
    } else if (what === 'many') {
        const streams = Array.from({ length: Number(number) }, open);
        const all = await Promise.all(streams.map((s) => s.status));
        out.open = all.filter((status) => status === 200).length;
        streams.forEach((s, i) => s.say(1, `stream ${i}`));
        const echoes = await Promise.all(streams.map((s) => s.next()));
        out.echoes = echoes.filter((e, i) => e.payload && e.payload.toString() === `stream ${i}`).length;
        streams.forEach((s) => s.close(http2.constants.NGHTTP2_CANCEL));
    } else if (what === 'reset') {
        out.reset = 0;
        for (let i = 0; i < Number(number) && !session.closed && !session.destroyed; i++) {
            const s = open();
            if (i % 2) { out.status = await s.status; if (i % 4 === 1) { s.say(1, 'half a word'); } }
            s.close(http2.constants.NGHTTP2_CANCEL);
            out.reset++;
        }
    }
    console.log(JSON.stringify(out));
    session.destroy();
    process.exit(0);
}
session.on('remoteSettings', (settings) => {
    if (session.begun) { return; }
    session.begun = true;
    if (!settings.enableConnectProtocol) { console.log(JSON.stringify({ error: 'no extended CONNECT' })); process.exit(1); }
    main();
});

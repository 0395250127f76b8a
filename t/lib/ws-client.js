// Drives ws-server.js through a proxy: node ws-client.js URL
// Prints one line for each check: "ok NAME" or "not ok NAME: what was there instead".
'use strict';
const WebSocket = require('ws');

const url = process.argv[2];
const options = { rejectUnauthorized: false };

function check(name, got, wanted) {
    console.log(got === wanted ? `ok ${name}` : `not ok ${name}: ${String(got).slice(0, 200)}`);
}

// A socket whose messages can be waited for one by one.
function open(path, protocols, more) {
    const ws = new WebSocket(url + path, protocols, { ...options, ...more });
    const queue = [];
    let waiting = null;
    const put = (item) => { if (waiting) { const w = waiting; waiting = null; w(item); } else { queue.push(item); } };
    ws.on('message', (data, isBinary) => put({ data, isBinary }));
    ws.on('close', (code, reason) => put({ code, reason: reason.toString() }));
    ws.on('error', (error) => put({ error: error.message }));
    ws.on('pong', (data) => put({ pong: data.toString() }));
    ws.on('unexpected-response', (req, res) => { put({ status: res.statusCode }); res.resume(); });
    ws.next = () => (queue.length ? Promise.resolve(queue.shift()) : new Promise((resolve) => { waiting = resolve; }));
    return ws;
}

async function main() {
    let ws = open('a?b=c', ['other', 'chat']);
    check('opens', (await ws.next()).data.toString().replace(/^hello .*\//, ''), 'a?b=c');
    check('protocol', ws.protocol, 'chat');
    check('permessage-deflate', ws.extensions.startsWith('permessage-deflate'), true);

    ws.send('häßlich');
    let m = await ws.next();
    check('text', `${m.isBinary} ${m.data}`, 'false häßlich');
    const random = require('crypto').randomBytes(1 << 20);
    ws.send(random);
    m = await ws.next();
    check('1 MB binary', m.isBinary && random.equals(m.data), true);
    const text = 'the same words again '.repeat(50000);
    ws.send(text);
    m = await ws.next();
    check('1 MB text, compressed', m.data.toString() === text, true);
    ws.send('', {});
    m = await ws.next();
    check('empty message', m.data.length, 0);
    ws.send('part one, ', { fin: false });
    ws.send('part two', { fin: true });
    m = await ws.next();
    check('fragments', m.data.toString(), 'part one, part two');

    ws.ping('hey');
    m = await ws.next();
    check('ping', m.pong, 'hey');
    ws.send('!ping');
    m = await ws.next();
    check('ping from the server', m.data.toString(), 'ponged are you there');

    for (let i = 0; i < 500; i++) { ws.send(`number ${i}`); }
    let sum = '';
    for (let i = 0; i < 500; i++) { sum += (await ws.next()).data.toString() === `number ${i}` ? '' : `${i} `; }
    check('500 messages in order', sum, '');

    ws.send('!send 5000000');
    m = await ws.next();
    check('5 MB', m.data.length, 5000000);

    let since = Date.now();
    ws.close(4002, 'I am off');
    m = await ws.next();
    check('close', `${m.code} ${m.reason}`, '4002 I am off');
    check('close is quick', Date.now() - since < 3000, true);

    ws = open('b');
    await ws.next();
    ws.send('!close 4001');
    m = await ws.next();
    check('close by the server', `${m.code} ${m.reason}`, '4001 bye');
    ws = open('c', [], { perMessageDeflate: false });
    await ws.next();
    check('without compression', ws.extensions, '');
    ws.send('!drop');
    m = await ws.next();
    check('a server that drops the connection', m.code, 1006);
    ws = open('denied');
    m = await ws.next();
    check('a handshake that is denied', m.status, 401);

    const many = Array.from({ length: 20 }, (_, i) => open(`many/${i}`));
    const hellos = await Promise.all(many.map((w) => w.next()));
    check('20 at once', hellos.filter((h, i) => h.data && h.data.toString().endsWith(`many/${i}`)).length, 20);
    many.forEach((w, i) => w.send(`echo ${i}`));
    const echos = await Promise.all(many.map((w) => w.next()));
    check('all echo', echos.filter((e, i) => e.data && e.data.toString() === `echo ${i}`).length, 20);
    since = Date.now();
    many.forEach((w) => w.close());
    const ends = await Promise.all(many.map((w) => w.next()));
    check('all close', ends.filter((e) => e.code === 1005).length, 20);
    check('in time', Date.now() - since < 3000, true);
}

setTimeout(() => { console.log('not ok: it hangs'); process.exit(1); }, 40000);
main().then(() => { console.log('ok done'); process.exit(0); }, (error) => {
    console.log(`not ok: ${error.stack}`);
    process.exit(1);
});

// Drives socketio-server.js through a proxy, in Node: node socketio-client.js URL NAME [die]; or in a browser: page.html?NAME.
// Prints, or reports, one line for each check: "ok NAME: what" or "not ok NAME: what: what was there instead", then "done NAME".
// "die": asks on standard output for the end of the member that it is connected to, and looks where it finds itself.
'use strict';
(function drive() {
    const inBrowser = typeof window !== 'undefined';
    const connect = inBrowser ? window.io : require('socket.io-client').io;
    const url = inBrowser ? window.location.origin : process.argv[2];
    const path = inBrowser ? window.location.pathname.replace(/page\.html$/, 'socket.io/') : `${new URL(url).pathname}socket.io/`;
    const name = inBrowser ? decodeURIComponent(window.location.search.slice(1)) : process.argv[3];
    const lines = [];

    function say(line) { lines.push(line); if (!inBrowser) { console.log(line); } }
    function check(what, got, wanted) {
        say(got === wanted ? `ok ${name}: ${what}` : `not ok ${name}: ${what}: ${String(got).slice(0, 200)}`);
    }

    function once(emitter, event) {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error(`no ${event}`)), 15000);
            emitter.once(event, (...args) => { clearTimeout(timer); resolve(args[0]); });
        });
    }

    // Cookies are kept as in a browser, for requests and sockets.
    async function open(options) {
        const socket = connect(new URL(url).origin, { path, forceNew: true, withCredentials: true, reconnectionDelay: 100, ...options });
        socket.member = await once(socket, 'hello');
        return socket;
    }

    async function talk(what, socket) {
        let wrong = '';
        for (let i = 0; i < 20; i++) { if (await socket.emitWithAck('echo', `message ${i} €`) !== `message ${i} €`) { wrong += ` ${i}`; } }
        check(`${what}: 20 messages`, wrong, '');
        const all = await Promise.all(Array.from({ length: 50 }, (_, i) => socket.emitWithAck('echo', i)));
        check(`${what}: 50 at a time`, all.every((n, i) => n === i), true);
        const bytes = new Uint8Array(1 << 20).map((_, i) => i * 7);
        const back = new Uint8Array(await socket.emitWithAck('echo', bytes));
        check(`${what}: 1 MB binary`, back.length === bytes.length && back.every((byte, i) => byte === bytes[i]), true);
        const heard = once(socket, 'all');
        socket.emit('to all', what);
        check(`${what}: from the server`, await heard, what);
        check(`${what}: one member`, await socket.emitWithAck('who'), `${socket.member} ${socket.id}`);
        await new Promise((resolve) => { setTimeout(resolve, 1200); });
        check(`${what}: over heartbeats`, socket.connected, true);
    }

    async function reconnect(what, socket) {
        const before = socket.id;
        const again = once(socket, 'hello');
        socket.emit('leave me');
        await again;
        check(`${what}: reconnects`, socket.id !== before && socket.connected, true);
        check(`${what}: and talks`, await socket.emitWithAck('echo', 'again'), 'again');
    }

    async function main() {
        const polling = await open({ transports: ['polling'] });
        check('polling', polling.io.engine.transport.name, 'polling');
        await talk('polling', polling);
        await reconnect('polling', polling);
        polling.disconnect();

        const upgraded = await open({});
        if (upgraded.io.engine.transport.name === 'polling') { await once(upgraded.io.engine, 'upgrade'); }
        check('upgrade', upgraded.io.engine.transport.name, 'websocket');
        await talk('upgrade', upgraded);
        await reconnect('upgrade', upgraded);

        const sockets = await open({ transports: ['websocket'] });
        check('websocket', sockets.io.engine.transport.name, 'websocket');
        check('websocket: talks', await sockets.emitWithAck('echo', 'hello'), 'hello');
        sockets.disconnect();

        const many = await Promise.all(Array.from({ length: 8 }, () => open({})));
        const echoes = await Promise.all(many.map((socket, i) => socket.emitWithAck('echo', i)));
        check('8 at a time', echoes.every((n, i) => n === i), true);
        many.forEach((socket) => socket.disconnect());

        if (!inBrowser && process.argv[4] === 'die') {
            const again = once(upgraded, 'hello');
            console.log(`kill ${upgraded.member}`);
            const other = await again;
            check('its member was killed: goes on with another', other !== upgraded.member && upgraded.connected, true);
            check('... and talks', await upgraded.emitWithAck('echo', 'still here'), 'still here');
        }
        upgraded.disconnect();
    }

    main().catch((error) => say(`not ok ${name}: ${error.stack}`)).then(() => {
        say(`done ${name}`);
        if (inBrowser) { window.fetch('report', { method: 'POST', body: `${lines.join('\n')}\n` }); } else { process.exit(0); }
    });
}());

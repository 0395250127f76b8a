// A WebSocket server as applications write them: node ws-server.js PORT [CERTIFICATE KEY]
// Echoes; text messages that begin with "!" are orders. Pages are served beside it: browser.html, and what is
// posted to "report" is printed.
'use strict';
const fs = require('fs');
const { WebSocketServer } = require('ws');

const [port, cert, key] = process.argv.slice(2);

function page(req, res) {
    if (/\/browser\.html(\?|$)/.test(req.url)) {
        res.setHeader('Content-Type', 'text/html');
        fs.createReadStream(`${__dirname}/browser.html`).pipe(res);
    } else if (req.url.endsWith('/report')) {
        let text = '';
        req.setEncoding('utf8');
        req.on('data', (part) => { text += part; });
        req.on('end', () => { process.stdout.write(text); res.end(); });
    } else {
        res.end(`page ${req.url}\n`);
    }
}

const server = cert
    ? require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, page)
    : require('http').createServer(page);
const handleProtocols = (offered) => (offered.has('chat') ? 'chat' : false);
const deflating = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 256 }, handleProtocols });
const plain = new WebSocketServer({ noServer: true, handleProtocols });

server.on('upgrade', (req, socket, head) => {
    if (req.url.endsWith('/denied')) {
        socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndenied');
        return;
    }
    const wss = req.url.endsWith('/plain') ? plain : deflating;
    wss.handleUpgrade(req, socket, head, (ws) => {
        ws.send(`hello ${req.url}`);
        ws.on('pong', (data) => ws.send(`ponged ${data}`));
        ws.on('error', () => ws.terminate());
        ws.on('message', (data, isBinary) => {
            const order = isBinary ? null : /^!(\w+) ?(\d*)/.exec(data.toString());
            if (!order) {
                ws.send(data, { binary: isBinary });
            } else if (order[1] === 'close') {
                ws.close(Number(order[2]), 'bye');
            } else if (order[1] === 'ping') {
                ws.ping('are you there');
            } else if (order[1] === 'send') {
                ws.send(Buffer.alloc(Number(order[2]), 'abcdefg'));
            } else if (order[1] === 'drop') {
                ws.terminate();
            }
        });
    });
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));

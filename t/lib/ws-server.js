// A WebSocket server as applications write them: node ws-server.js PORT [CERTIFICATE KEY]
// Echoes; text messages that begin with "!" are orders. Pages are served beside it.
'use strict';
const fs = require('fs');
const { WebSocketServer } = require('ws');

const [port, cert, key] = process.argv.slice(2);
const page = (req, res) => res.end(`page ${req.url}\n`);
const server = cert
    ? require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, page)
    : require('http').createServer(page);
const wss = new WebSocketServer({
    noServer: true,
    perMessageDeflate: { threshold: 256 },
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
});

server.on('upgrade', (req, socket, head) => {
    if (req.url.endsWith('/denied')) {
        socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndenied');
        return;
    }
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

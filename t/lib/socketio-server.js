// A Socket.IO application, one of several members of a pool: node socketio-server.js PORT NAME
// Echoes; prints what went wrong between the client and it, and the answers that a page posts to /report.
'use strict';
const http = require('http');
const fs = require('fs');
const { Server } = require('socket.io');

const [port, name] = process.argv.slice(2);
const pages = {
    'GET /page.html': (req, res) => {
        res.setHeader('Content-Type', 'text/html');
        res.end('<!DOCTYPE html><script src="socket.io/socket.io.js"></script><script src="socketio-client.js"></script>');
    },
    'GET /socketio-client.js': (req, res) => fs.createReadStream(`${__dirname}/socketio-client.js`).pipe(res),
    'POST /report': (req, res) => {
        req.setEncoding('utf8');
        req.on('data', (text) => process.stdout.write(text));
        req.on('end', () => res.end());
    },
};
const server = http.createServer((req, res) => {
    const page = pages[`${req.method} ${req.url.split('?')[0]}`];
    if (page) { page(req, res); } else { res.statusCode = 404; res.end('no such page\n'); }
});
const io = new Server(server, { maxHttpBufferSize: 4e6, pingInterval: 500, pingTimeout: 3000 });

// An unknown session here is one that another member has begun. A client that answers a ping while its session is ended by
// this one asks for what was here.
const begun = new Set();
io.engine.on('connection', (session) => begun.add(session.id));
io.engine.on('connection_error', (error) => {
    if (begun.has(new URL(error.req.url, 'http://x').searchParams.get('sid'))) return;
    console.log(`not ok ${name}: ${error.message} ${error.req.url}`);
});
io.on('connection', (socket) => {
    socket.emit('hello', name);
    socket.on('echo', (data, answer) => answer(data));
    socket.on('who', (answer) => answer(`${name} ${socket.id}`));
    socket.on('leave me', () => socket.conn.close());
    socket.on('to all', (text) => io.emit('all', text));
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));

// The application of conf-examples/01-first-proxy.conf: node app.js PORT
'use strict';
const http = require('http');

const routes = {
    'GET /': (req, res) => {
        res.setHeader('Content-Type', 'text/html');
        res.end('<h1>Your application</h1>\n');
    },
    // It knows itself by the Host that it is asked for.
    'GET /account': (req, res) => {
        res.writeHead(302, { Location: `http://${req.headers.host}/login` });
        res.end();
    },
    'GET /login': (req, res) => res.end('log in here\n'),
    'GET /headers': (req, res) => res.end(JSON.stringify(req.headers)),
    'GET /slow': (req, res) => {
        res.write('first\n');
        setTimeout(() => res.end('second\n'), 300);
    },
    'POST /upload': (req, res) => {
        let n = 0;
        req.on('data', (part) => { n += part.length; });
        req.on('end', () => res.end(`${n} bytes\n`));
    },
};

const server = http.createServer((req, res) => {
    const route = routes[`${req.method} ${req.url.split('?')[0]}`];
    if (route) {
        route(req, res);
    } else {
        res.writeHead(404);
        res.end('no such page\n');
    }
});
// Shorter than the tests: kept connections end while they are in the proxy's pool.
server.keepAliveTimeout = 200;
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));

-- Prints the summary of a wrk run as one JSON line, so that nothing has to be
-- read out of wrk's text, whose units change with the size of the figure.
-- It sets no request or response function: wrk's fast path stays in use.
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'BENCH {"requests":%d,"bytes":%.0f,"duration_us":%.0f,' ..
        '"p50_us":%.0f,"p99_us":%.0f,"max_us":%.0f,' ..
        '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
        summary.requests, summary.bytes, summary.duration,
        latency:percentile(50), latency:percentile(99), latency.max,
        e.connect, e.read, e.write, e.status, e.timeout))
end

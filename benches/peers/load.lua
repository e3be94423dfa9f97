-- wrk: a thousand tenants in turn. The last line says what happened, for load.rs.
local requests, turn = {}, 0

function init()
  for tenant = 1, 1000 do
    requests[tenant] = wrk.format('GET', '/', { ['X-Tenant-Id'] = string.format('tenant-%04d', tenant) })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('figures requests=%d duration_us=%d errors=%d p50_us=%d p99_us=%d\n', summary.requests,
    summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end

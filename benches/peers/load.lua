-- wrk: tenants in turn, `prepared N`, `users N` with a user of each, `made N` one by one, `listed FILE` with an id a line, or
-- `kept FILE` with an id and a path a line. The last line says what happened, for load.rs.
local requests, turn = {}, 0

function init(args)
  local how, what = args[1], args[2]
  if how == 'made' then
    local count = tonumber(what)
    local head, tail = wrk.format('GET', '/', { ['X-Tenant-Id'] = 'TENANT' }):match('^(.*)TENANT(.*)$')
    request = function()
      -- 617 and a power of ten have no divisor in common: every tenant comes once before one comes twice
      turn = (turn + 617) % count
      return head .. string.format('tenant-%07d', turn) .. tail
    end
    return
  end
  local function prepare(id, user)
    requests[#requests + 1] = wrk.format('GET', '/', { ['X-Tenant-Id'] = id, ['X-User-Id'] = user })
  end
  if how == 'kept' then
    for id, path in io.open(what):read('*a'):gmatch('(%S+) (%S+)') do
      requests[#requests + 1] = wrk.format('GET', path, { ['X-Tenant-Id'] = id })
    end
  elseif how == 'listed' then
    for id in io.lines(what) do
      prepare(id)
    end
  else
    for tenant = 1, tonumber(what) do
      prepare(string.format('tenant-%04d', tenant), how == 'users' and string.format('user-%04d', tenant) or nil)
    end
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

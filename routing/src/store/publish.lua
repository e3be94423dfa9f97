-- Publishes a table: all or nothing. The same rule as rule.rs. Values come by KEYS and ARGV only.
-- KEYS: head, table, tenants, log, acks, acked
-- ARGV: expected head ("" = none), head, table, tenants, mode, term, epoch, needs, log entry, live ms, kept ms,
--       log max, epochs kept, channel, key stem, head bytes max, counter max
local counter_max = tonumber(ARGV[17])
-- a whole number that can be counted on, or 0
local function counter(value)
  local number = tonumber(value)
  return number and number >= 0 and number < counter_max and number % 1 == 0 and number or 0
end
-- both counters are sound, or neither counts
local function pair(term, epoch)
  if tonumber(term) ~= counter(term) or tonumber(epoch) ~= counter(epoch) then return 0, 0 end
  return tonumber(term), tonumber(epoch)
end
local function text(term, epoch) return string.format('%.0f.%.0f', term, epoch) end
local function newer(at, ae, bt, be) return at > bt or (at == bt and ae > be) end
local function object(json)
  local sound, decoded = pcall(cjson.decode, json)
  return sound and type(decoded) == 'table' and decoded or {}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local term, epoch, needs, mode = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[5]

-- what stands
local head = redis.call('GETRANGE', KEYS[1], 0, ARGV[16])
if head == ARGV[2] then return {'OK', ''} end
local decoded = object(head)
local ht, he = pair(decoded['term'], decoded['epoch'])
local kt, ke = pair(string.match(redis.call('GETRANGE', KEYS[6], 0, 64), '^(%d+)%.(%d+)$'))
local acks = redis.call('HGETALL', KEYS[5])
local confirmed, at, ae, dead, behind_us = #acks == 0, 0, 0, {}, nil
for i = 1, #acks, 2 do
  local ack = object(acks[i + 1])
  local age = type(ack['applied']) == 'table' and tonumber(ack['at']) and now - tonumber(ack['at'])
  if not age or age >= tonumber(ARGV[11]) then
    dead[#dead + 1] = acks[i]
  elseif age < tonumber(ARGV[10]) then
    local t, e = pair(ack['applied']['term'], ack['applied']['epoch'])
    if counter(ack['format']) < needs and (not behind_us or acks[i] < behind_us[1]) then
      behind_us = {acks[i], string.format('%.0f', counter(ack['format']))}
    end
    if t == ht and e == he and head ~= '' then confirmed = true end
    if newer(t, e, at, ae) then at, ae = t, e end
  end
end

-- whether it may be gone over
if head ~= ARGV[1] then return {'LOST', ''} end
if behind_us then return {'NEEDSNEWER', behind_us[1], behind_us[2]} end
if mode == 'recover' then
  local ot, oe = ht, he
  if newer(kt, ke, ot, oe) then ot, oe = kt, ke end
  if newer(at, ae, ot, oe) then ot, oe = at, ae end
  if not newer(term, epoch, ot, oe) then return {'VERSION', text(ot, oe)} end
elseif head == '' then
  if mode ~= 'init' then return {'NEEDSINIT', ''} end
  if kt > 0 or ke > 0 then return {'BEHIND', text(0, 0), text(kt, ke)} end
else
  if mode == 'init' then return {'LOST', ''} end
  if newer(kt, ke, ht, he) then return {'BEHIND', text(ht, he), text(kt, ke)} end
  if term ~= ht or epoch <= he then return {'VERSION', text(ht, he)} end
  if mode == 'ordinary' and not confirmed then return {'UNCONFIRMED', text(ht, he)} end
end

redis.call('SET', KEYS[2], ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
redis.call('SET', KEYS[2] .. ':head', ARGV[2])
redis.call('SET', KEYS[1], ARGV[2])

-- from here on it is published: what fails now is a warning
for i = 1, #dead do redis.call('HDEL', KEYS[5], dead[i]) end
local kept = tonumber(ARGV[13])
local function table_key(e) return ARGV[15] .. ':table:' .. string.format('%.0f', e) end
local function tenants_of(e)
  local past = redis.pcall('GETRANGE', table_key(e) .. ':head', 0, ARGV[16])
  return type(past) == 'string' and string.match(past, '"tenants_hash":"(%x+)"')
end
-- the tables that stood are those of the epochs up to the old head's; what the new window leaves out goes
local out, needed = {}, {}
for e = math.max(he - kept + 1, 0), he do
  if e + kept <= epoch or e > epoch then out[#out + 1] = e end
end
if #out > 0 then
  for e = math.max(epoch - kept + 1, 0), epoch do needed[tenants_of(e) or ''] = true end
  for i = 1, #out do
    local hash = tenants_of(out[i])
    if hash and not needed[hash] then redis.call('DEL', ARGV[15] .. ':tenants:' .. hash) end
    redis.call('DEL', table_key(out[i]), table_key(out[i]) .. ':head')
  end
end
local logged = redis.pcall('XADD', KEYS[4], 'MAXLEN', ARGV[12], '*', 'entry', ARGV[9], 'at', string.format('%.0f', now))
redis.call('PUBLISH', ARGV[14], text(term, epoch))
return {'OK', type(logged) == 'table' and logged['err'] or ''}

-- Counts keys of one tenant. KEYS: its keys. ARGV: holder, life of a lease (us), then 12 numbers for each key:
--   interval (ns), burst, window (us), leased_max, slack (us): the quota
--   direct: tokens that are spent at once; debit: tokens that were spent already
--   credit, credit_at: tokens to give back, the first of which was granted at credit_at (us, this server's clock)
--   seq (0: leave the lease alone), remaining, target: what the holder still has of its lease, what it wants to have
-- Returns now (us), then for each key: direct tokens granted, of the lease kept, of the lease granted, time missing to a full
-- bucket (us), this holder's part of what was spent lately (millionths).
--
-- A key holds "1 AT MISSING INTERVAL BURST", then " HOLDER TOKENS EXPIRES SEQ SLOT CURRENT PREVIOUS" for each holder. What is
-- not that is nothing. Tokens in leases are taken out of the bucket when they are granted.
local BYTES_MAX, HOLDERS_MAX, SLOT = 16384, 64, 10000000

local function num(text)
  local value = tonumber(text)
  return value and value < 9007199254740992 and value or nil
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local slot = math.floor(now / SLOT)
local weight = 1 - (now % SLOT) / SLOT
local holder, life = ARGV[1], tonumber(ARGV[2])
local reply = { now }

for i, key in ipairs(KEYS) do
  local base = 2 + (i - 1) * 12
  local function arg(at) return tonumber(ARGV[base + at]) end
  local interval, burst, window, leased_max, slack = arg(1), arg(2), arg(3), arg(4), arg(5)
  local direct, debit, credit, credit_at = arg(6), arg(7), arg(8), arg(9)
  local seq, remaining, target = arg(10), arg(11), arg(12)
  local fill = math.ceil(burst * interval / 1000)
  local function cost(tokens) return math.ceil(tokens * interval / 1000) end
  local function worth(tokens) return math.floor(tokens * interval / 1000) end

  -- the bucket as it is now, and under today's quota
  local missing, changed, mine, entries = 0, true, nil, {}
  local text = redis.pcall('GETRANGE', key, 0, BYTES_MAX - 1)
  if type(text) ~= 'string' then text = '' end
  local at, was, old_interval, old_burst, rest = string.match(text, '^1 (%d+) (%d+) (%d+) (%d+)(.*)$')
  at, was, old_interval, old_burst = num(at), num(was), num(old_interval), num(old_burst)
  if at and was and old_interval and old_burst and old_interval > 0 then
    -- a clock that went back brings nothing
    missing = math.max(0, was - math.max(0, now - at))
    changed = at > now
    if old_interval ~= interval or old_burst ~= burst then
      changed = true
      -- what is there stays there as far as there is room: two quotas at once, as in a rollout, cost nobody anything
      local grown = burst - old_burst
      missing = math.max(0, math.ceil(missing / old_interval * interval + grown * interval / 1000))
      if interval >= old_interval then missing = math.min(missing, fill) end
    end
    missing = math.min(missing, fill + window)
    for id, tokens, expires, last, then_, current, previous in
      string.gmatch(rest, ' (%x+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)')
    do
      local it = {
        id = id, tokens = num(tokens), expires = num(expires), seq = num(last),
        slot = num(then_), current = num(current), previous = num(previous),
      }
      if it.tokens and it.expires and it.seq and it.slot and it.current and it.previous and #entries < HOLDERS_MAX then
        it.expires = math.min(it.expires, now + life)
        if it.expires <= now then it.tokens = 0 end
        if it.slot == slot - 1 then
          it.current, it.previous = 0, it.current
        elseif it.slot < slot then
          it.current, it.previous = 0, 0
        end
        if id == holder then mine = it end
        if id == holder or it.tokens > 0 or it.current > 0 or it.previous > 0 then
          entries[#entries + 1] = it
        end
      end
    end
  end
  if not mine and #entries < HOLDERS_MAX then
    mine = { id = holder, tokens = 0, expires = 0, seq = 0, current = 0, previous = 0 }
    entries[#entries + 1] = mine
  end

  if credit > 0 and now >= credit_at and now - credit_at <= slack then
    missing = math.max(0, missing - worth(credit))
    if mine then mine.current = math.max(0, mine.current - credit) end
    changed = true
  end
  if debit > 0 then
    missing = math.min(missing + cost(debit), fill + window)
    changed = true
  end
  local function available()
    local tokens = math.max(0, math.floor((fill - missing) * 1000 / interval))
    while tokens > 0 and missing + cost(tokens) > fill do tokens = tokens - 1 end
    return tokens
  end

  local spent = 0
  if direct > 0 then
    spent = math.min(direct, available())
    missing = missing + cost(spent)
    changed = changed or spent > 0
  end

  local kept, granted = 0, 0
  if seq > 0 and mine and seq > mine.seq then
    local others, live = 0, 1
    for _, it in ipairs(entries) do
      if it ~= mine then
        others = others + it.tokens
        if it.tokens > 0 or it.current > 0 then live = live + 1 end
      end
    end
    kept = math.min(mine.tokens, remaining)
    if target == 0 then
      missing = math.max(0, missing - worth(kept))
      mine.current = math.max(0, mine.current - kept)
      kept = 0
    else
      local room = math.max(0, leased_max - others)
      kept = math.min(kept, room)
      local fair = math.floor(leased_max / live)
      local part = math.ceil(available() / live)
      granted = math.max(0, math.min(target - kept, room - kept, fair - kept, part))
      missing = missing + cost(granted)
    end
    mine.seq, mine.tokens, mine.expires = seq, kept + granted, now + life
    changed = true
  end

  local part = 0
  if mine then
    mine.current = mine.current + spent + granted
    local all = 0
    for _, it in ipairs(entries) do all = all + it.current + it.previous * weight end
    if all > 0 then part = math.floor((mine.current + mine.previous * weight) * 1000000 / all) end
  end

  if changed then
    local words = { string.format('1 %.0f %.0f %.0f %.0f', now, missing, interval, burst) }
    for _, it in ipairs(entries) do
      words[#words + 1] = string.format('%s %.0f %.0f %.0f %.0f %.0f %.0f',
        it.id, it.tokens, it.expires, it.seq, slot, it.current, it.previous)
    end
    -- full then, and of holders only what they spent in two slots is wanted later
    local kept_ms = math.ceil(missing / 1000) + 2 * SLOT / 1000
    redis.call('SET', key, table.concat(words, ' '), 'PX', string.format('%.0f', kept_ms))
  end
  local first = #reply
  reply[first + 1], reply[first + 2], reply[first + 3] = spent, kept, granted
  reply[first + 4], reply[first + 5] = missing, part
end
return reply

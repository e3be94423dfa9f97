-- Reads the notices for one stamp after a place. Returns 'gap' or '', the run, the place, how many entries were looked at, how
-- many of them are not understood, then what each that names the stamp says of a tenant.
-- KEYS: stream. ARGV: run, id ('': none), stamp, most, longest word
-- where scripts may not ask, a restart shows only by what is missing
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
-- never empty: whoever reads has an entry to go on from, and its absence shows that others may be gone as well
local place = last[1] and last[1][1] or redis.call('XADD', KEYS[1], '*', 'stamp', '')
if not last[1] or ARGV[2] == '' or run ~= ARGV[1] or #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) == 0 then
  return {'gap', run, place, '0', '0'}
end
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[2], '+', 'COUNT', ARGV[4])
local strange, words = 0, {}
for i = 1, #entries do
  local fields = entries[i][2]
  if fields[1] == 'stamp' and fields[2] == ARGV[3] then
    -- what is too long to be read is not understood by the reader either
    local is_word = #fields == 4 and fields[3] == 'tenant' and #fields[4] <= tonumber(ARGV[5])
    words[#words + 1] = is_word and fields[4] or ''
  elseif fields[1] ~= 'stamp' or not (#fields == 4 and fields[3] == 'tenant' or #fields == 2 and fields[2] == '') then
    strange = strange + 1
  end
end
local reply = {'', run, #entries > 0 and entries[#entries][1] or ARGV[2], tostring(#entries), tostring(strange)}
for i = 1, #words do reply[5 + i] = words[i] end
return reply

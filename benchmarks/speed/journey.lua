-- What visitors send, for wrk: `wrk -s journey.lua URL -- ROUTE FILE FIRST`.
-- ROUTE is a single route, "challenge+verify" or "journey"; FILE has an id or a token a line, of which the line FIRST is
-- the first to be sent. Each request's id is its start, which the server sends back: so each step has its own times.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long micros; } timeval; int gettimeofday(timeval *, void *);")
local clock = ffi.new("timeval")

local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.seconds) * 1000000 + tonumber(clock.micros)
end

local function send(method, path, kind, body)
  return wrk.format(method, path, { ["X-Request-ID"] = string.format("%.0f", now()), ["Content-Type"] = kind }, body)
end

-- What the server of `worked.py` takes for the solution of any work.
local solution = '{"counter":0,"derivedKey":"' .. string.rep("0", 64) .. '"}'
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  local parts = {}
  for place = 1, #text, 3 do
    local a, b, c = text:byte(place, place + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for digit, shift in ipairs({ 262144, 4096, 64, 1 }) do
      local value = math.floor(bits / shift) % 64 + 1
      local is_there = digit < 3 or (digit == 3 and b) or (digit == 4 and c)
      parts[#parts + 1] = is_there and digits:sub(value, value) or "="
    end
  end
  return table.concat(parts)
end

local steps = {
  generate = function() return send("GET", "/generate") end,
  challenge = function() return send("GET", "/challenge") end,
  picture = function(id) return send("GET", "/" .. id) end,
  verify = function(id, work)
    local solved = work and ',"work":"' .. base64('{"challenge":' .. work .. ',"solution":' .. solution .. "}") .. '"' or ""
    return send("POST", "/verify", "application/json", '{"id":"' .. id .. '","answer":"abc234"' .. solved .. "}")
  end,
  siteverify = function(token)
    local form = "secret=a-secret-of-sixteen-or-more&response=" .. token
    return send("POST", "/siteverify", "application/x-www-form-urlencoded", form)
  end,
}

local waiting, first, last = {}, 1, 0 -- steps that follow from answers, the oldest first

local function push(step, of, work)
  last = last + 1
  waiting[last] = { step, of, work }
end

-- How many answers took how long, by step: globals, each a number, since `wrk` copies no tables between its threads.
local per_e = 20 -- buckets while the time grows by the factor e: each is 5% wide
local buckets = 20 * per_e

local function note(step, headers)
  local started = tonumber(headers["x-request-id"])
  if not started then return end -- the bare server does not send it back
  local name = step .. math.floor(math.log(math.max(now() - started, 1)) * per_e)
  _G[name] = (_G[name] or 0) + 1
end

function init(arguments)
  local route, file, offset = arguments[1], arguments[2], tonumber(arguments[3] or 0)
  if steps[route] then
    local lines = {}
    if file then
      for line in io.lines(file) do table.insert(lines, line) end
    end
    function request()
      offset = offset % math.max(#lines, 1) + 1
      return steps[route](lines[offset])
    end
    return
  end
  function request()
    if first > last then return steps.challenge() end
    local step = waiting[first]
    waiting[first], first = nil, first + 1
    return steps[step[1]](step[2], step[3])
  end
  function response(_, headers, body)
    local id, token = body:match('"id":"(%x+)"'), body:match('"token":"([%w_-]+)"')
    if id then
      note("challenge", headers)
      if route == "journey" then push("picture", id) end
      push("verify", id, body:match('"work":(%b{})'))
    elseif token then
      note("verify", headers)
      if route == "journey" then push("siteverify", token) end
    elseif body:find('"challenge_ts"', 1, true) then
      note("siteverify", headers)
    else
      note("picture", headers)
    end
  end
end

local thread
function setup(only) thread = only end

function done()
  for step in pairs(steps) do
    local counts, total, seen = {}, 0, 0
    for bucket = 0, buckets do
      counts[bucket] = thread:get(step .. bucket) or 0
      total = total + counts[bucket]
    end
    for bucket = 0, buckets do
      seen = seen + counts[bucket]
      if total > 0 and seen >= total * 0.99 then
        print(string.format("step %s p99 %.3f ms", step, math.exp((bucket + 0.5) / per_e) / 1000))
        break
      end
    end
  end
end

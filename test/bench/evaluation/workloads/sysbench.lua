-- sysbench's OLTP transactions, with a line for each on standard output: when it ended (milliseconds since 1970) and how long it took.
-- EVALUATION_KIND: oltp_read_only or oltp_read_write; when the file EVALUATION_STOP is there, the run ends.
local ffi = require("ffi")
ffi.cdef([[
typedef struct { long seconds; long nanoseconds; } evaluation_time;
int clock_gettime(int clock, evaluation_time *time);
]])

require(os.getenv("EVALUATION_KIND"))

local transaction = event
local now = ffi.new("evaluation_time")
local looked = 0

local function milliseconds()
   ffi.C.clock_gettime(0, now)
   return tonumber(now.seconds) * 1e3 + tonumber(now.nanoseconds) / 1e6
end

local function is_told_to_stop(at)
   if at - looked < 100 then return false end
   looked = at
   local file = io.open(os.getenv("EVALUATION_STOP"))
   if file then file:close() end
   return file ~= nil
end

function event()
   local from = milliseconds()
   transaction()
   local to = milliseconds()
   io.stdout:write(string.format("tx %.3f %.3f\n", to, to - from))
   return is_told_to_stop(to)
end

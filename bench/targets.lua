-- For wrk: asks for many targets in turn, so that no two requests at a time are the same and can be answered as one.
-- wrk -s targets.lua URL -- PATH
local count, requests, at = 1024, {}, 0

function init(args)
    for i = 1, count do
        requests[i] = wrk.format("GET", args[1] .. "?n=" .. i)
    end
end

function request()
    at = at % count + 1
    return requests[at]
end

"""The process that runs a Lua file of kitten; knit_core.convert.lua starts it. It imports nothing of Knit.

The program has no io, os, require, load, debug and coroutine, and no access to Python. Limits: instructions and memory in
Lua; processor time, address space, open files and file size by the operating system.

    python -I lua_sandbox.py FOLDER_OF_LUPA NAME <source    → one line of JSON: {"apps": […]} or {"error": "…"}
"""

import contextlib
import json
import resource
import sys
from typing import Any

INSTRUCTIONS = 5_000_000
MEMORY = 64 << 20  # bytes, of Lua
ADDRESS_SPACE = 1 << 30
PROCESSOR_SECONDS = 2
DEEPEST = 50
MOST_VALUES = 100_000
MOST_OUTPUT = 4 << 20

SETUP = rb"""
local source, name, instructions, deepest, most = ...
local sethook, loadstring, setfenv = debug.sethook, loadstring, setfenv
local pairs, ipairs, type, error, tostring, rawset, setmetatable = pairs, ipairs, type, error, tostring, rawset, setmetatable
local apps, env = {}, {}

local function absent(what)
  local function refuse()
    error(what .. " is not available: files, programs and the network are out of reach for a file of kitten", 2)
  end
  return setmetatable({}, {__index = refuse, __call = refuse, __newindex = refuse})
end

for _, each in ipairs{"assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawset",
    "select", "setmetatable", "tonumber", "tostring", "type", "unpack", "xpcall", "math", "string", "table", "_VERSION"} do
  env[each] = _G[each]
end
for _, each in ipairs{"collectgarbage", "coroutine", "debug", "dofile", "getfenv", "io", "load", "loadfile", "loadstring",
    "module", "newproxy", "os", "package", "python", "require", "setfenv"} do
  env[each] = absent(each)
end
string.dump = nil
env._G = env
env.print = function() end

function env.cat(base)
  return function(t)
    for key, value in pairs(base) do
      if t[key] == nil then t[key] = value end
    end
    return t
  end
end

function env.yarn(t)
  if type(t) ~= "table" then error("yarn needs a table", 2) end
  apps[#apps + 1] = t
  return t
end

function env.java_cmd(t)
  local words = {t.java or "${JAVA_HOME}/bin/java"}
  local function add(options, prefix)
    for key, value in pairs(options or {}) do
      if type(key) == "string" then words[#words + 1] = prefix .. key .. "=" .. tostring(value) end
    end
    for _, value in ipairs(options or {}) do
      words[#words + 1] = (prefix == "-" and options == t.jvm_args and "-" or "") .. tostring(value)
    end
  end
  add(t.jvm_args, "-")
  words[#words + 1] = t.main
  add(t.args, t.prefix or "-")
  return table.concat(words, " ")
end

local count = 0
local function plain(value, depth)
  count = count + 1
  if count > most then error("more than " .. most .. " values", 0) end
  if depth > deepest then error("nested deeper than " .. deepest .. " levels, or a table that contains itself", 0) end
  if type(value) == "function" then value = value() end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, each in next, value do rawset(copy, key, plain(each, depth + 1)) end
  return copy
end

local function exhausted()
  error("more than " .. instructions .. " instructions: does it end?", 0)
end

if source:byte(1) == 27 then error("it is compiled Lua, not a text", 0) end
local chunk, wrong = loadstring(source, "=" .. name)
if not chunk then error(wrong, 0) end
setfenv(chunk, env)
sethook(function() sethook(exhausted, "", 1) exhausted() end, "", instructions)
chunk()
local found = {}
for index, app in ipairs(apps) do
  local names = {}
  for key, value in next, env do
    if value == app and type(key) == "string" then names[#names + 1] = key end
  end
  found[index] = {names = names, table = plain(app, 1)}
end
sethook()
return found
"""


def limit() -> None:
    """Set the operating system's limits."""
    for what, most in (
        (resource.RLIMIT_CPU, PROCESSOR_SECONDS),
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a limit that this system does not have
            resource.setrlimit(what, (most, most))


def evaluate(source: bytes, name: bytes) -> list[list[Any]]:
    """The tables that the program gives to `yarn`, as lists of [names, table]."""
    from lupa import lua51

    def refuse(_value: object, _name: object, _setting: object) -> object:
        raise AttributeError("not available")

    limit()
    runtime = lua51.LuaRuntime(
        encoding=None, register_eval=False, register_builtins=False, attribute_filter=refuse, max_memory=MEMORY
    )
    setup = runtime.execute(b"return function(...) " + SETUP + b" end")
    try:
        found = setup(source, name, INSTRUCTIONS, DEEPEST, MOST_VALUES)
    except lua51.LuaMemoryError:
        raise ValueError(f"it uses more than {MEMORY >> 20} MiB of memory") from None
    except lua51.LuaError as error:
        text = str(error.args[0] if error.args else error)
        raise ValueError(
            text.partition("\nstack traceback")[0].strip() or "it ended with an error without a message"
        ) from None
    rows = [row for _index, row in sorted(found.items())]
    return [[sorted(decoded(each) for each in row[b"names"].values()), plain(row[b"table"])] for row in rows]


def decoded(value: bytes) -> str:
    """A string of Lua."""
    return value.decode("utf-8")


def plain(value: Any) -> Any:
    """A value as JSON: a table is {"list": [...], "named": {...}}."""
    if isinstance(value, bytes):
        return decoded(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return int(value) if value == value and abs(value) < 2**53 and value == int(value) else str(value)
    if not hasattr(value, "items"):
        raise ValueError("a value is no text, number, boolean or table")
    rows, named = {}, {}
    for key, each in value.items():
        if isinstance(key, bytes):
            named[decoded(key)] = plain(each)
        elif isinstance(key, (int, float)):
            rows[key] = plain(each)
    return {"list": [rows[key] for key in sorted(rows)], "named": dict(sorted(named.items()))}


def main() -> None:
    """Read the program from standard input, and print what it gives to `yarn`."""
    sys.path.insert(0, sys.argv[1])
    source = sys.stdin.buffer.read()
    try:
        result = json.dumps({"apps": evaluate(source, sys.argv[2].encode())})
        if len(result) > MOST_OUTPUT:
            result = json.dumps({"error": f"its tables have more than {MOST_OUTPUT >> 20} MiB"})
    except UnicodeDecodeError:
        result = json.dumps({"error": "a text in it is not UTF-8"})
    except (MemoryError, RecursionError):
        result = json.dumps({"error": "it uses too much memory"})
    except ValueError as error:
        result = json.dumps({"error": str(error)[:2000]})
    print(result)


if __name__ == "__main__":
    main()

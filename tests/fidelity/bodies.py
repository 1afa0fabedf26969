"""Requests written by hand, as bytes. `«a|b»` is what the caller writes, and what the provider has to read instead;
every other byte is the same to both."""

# ruff: noqa: E501  (a body is one line)
from __future__ import annotations

import json
import re

_MARK = re.compile(r"«([^«»|]*)\|([^«»|]*)»".encode())
# Nothing of these may change on the way, wherever in a body they are.
ODDITIES = (
    r'"x_big":123456789012345678901234567890,"x_neg":-0,"x_one":1,"x_one_point":1.0,"x_exp":1E+2,"x_tiny":1e-7,'
    r'"x_long":0.10000000000000000000001,"x_empty":"","x_null":null,"x_esc":"\u00e9\/\ud83c\udf0a\u0000\t",'
    r'"x_raw":"é🌊\u2028","x_nest":{"model":"anthropic","model ":1,"a":{"a":{"a":[]}},"":{}},"x_list":[1, 2,3 ,[ ],{}]'
)


def sent(template: str) -> bytes:
    return _MARK.sub(rb"\1", template.encode())


def received(template: str) -> bytes:
    return _MARK.sub(rb"\2", template.encode())


def _swap(there: str, here: str) -> str:
    return f"«{there}|{here}»"


_LONG = ",".join(f'{{"role":"{"user" if n % 2 == 0 else "assistant"}","content":"turn {n}"}}' for n in range(2001))
_SIGNED = (
    r'{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"ErUBCkYIBxgC+/=="},'
    r'{"signature":"WaUjzkyp\u002b","thinking":"hm \u2026","type":"thinking","cache":1},'
    r'{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix\/LafPsn4a"},'
    r'{"type":"tool_use","id":"toolu_1","name":"x","input":{"b":1,"a":2.0,"b2":1e3}}]},'
    r'{"role":"user","content":[{"tool_use_id":"toolu_1","type":"tool_result","content":""}]}'
)
_TOOLS = (
    r'[{"name":"a","input_schema":{"type":"object","properties":{"model":{"type":"string"}}},'
    r'"cache_control":{"ttl":"1h","type":"ephemeral"}},{"type":"web_search_20250305","name":"web_search"}]'
)
_CACHED = r'[{"type":"text","text":"x-anthropic-billing-header: a=b;"},{"cache_control":{"type":"ephemeral"},"text":"Be brief.","type":"text"}]'
_M = _swap('"anthropic"', '"claude-up"')

ANTHROPIC = {
    "compact": f'{{"model":{_M},"max_tokens":5,"messages":[{{"role":"user","content":"hi"}}],{ODDITIES}}}',
    "odd spacing": f'\n {{ \t"model" :\r\n  {_M} , "max_tokens":5,\n\n"messages" : [ {{"role" : "user" ,"content":"hi" }} ] ,{ODDITIES}\n}} \n\t ',
    "model last, other orders": f'{{{ODDITIES},"messages":[{{"content":[{{"text":"\\"model\\":\\"anthropic\\"","type":"text"}}],"role":"user"}}],"max_tokens":5,"model":{_M}}}',
    "as Python writes": '{"model": '
    + _M
    + ', "max_tokens": 5, "messages": [{"role": "user", "content": "h\\u00e9"}], "new": {"a": 1.0}}',
    "thinking with its signatures": f'{{"model":{_M},"max_tokens":5000,"thinking":{{"type":"enabled","budget_tokens":1024}},"messages":[{{"role":"user","content":"hi"}},{_SIGNED}]}}',
    "cache marks anywhere": f'{{"cache_control":{{"type":"ephemeral"}},"system":{_CACHED},"tools":{_TOOLS},"model":{_M},"max_tokens":5,"messages":[{{"role":"user","content":[{{"type":"text","text":"hi","cache_control":{{"type":"ephemeral","scope":"global"}}}}]}}]}}',
    "an agent's own": f'{{"model":{_M},"messages":[{{"role":"user","content":"hi"}},{{"role":"system","content":"now"}}],"system":{_CACHED},"tools":{_TOOLS},"metadata":{{"user_id":"user_1_session_2"}},"max_tokens":8192,"thinking":{{"type":"adaptive"}},"context_management":{{"edits":[{{"type":"clear_thinking_20251015","keep":"all"}}]}},"output_config":{{"effort":"high","format":null}},"stream":true}}',
    "not streamed": f'{{"stream":false,"model":{_M},"max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]}}',
    "streamed or not": f'{{"model":{_M},"max_tokens":5,"messages":[{{"role":"user","content":"hi"}}],"stream":null}}',
    "a model's name in escapes": '{"model":'
    + _swap(r'"\u0061nthropi\u0063"', '"claude-up"')
    + ',"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}',
    "a key in escapes": '{"\\u006dodel":'
    + _M
    + ',"max_tokens":5,"messages":[{"role":"user","content":"hi"}],"\\u0078":1}',
    "numbers in other words": f'{{"model":{_M},"max_tokens":5,"messages":[{{"role":"user","content":"hi"}}],"temperature":1,"top_p":1.0e0,"top_k":0}}',
    "a long history": f'{{"model":{_M},"max_tokens":5,"messages":[{_LONG}]}}',
}

_G = _swap('"openai"', '"gpt-up"')
_CAP = _swap("", ',"max_completion_tokens":8192')
_SPACED_CAP = _swap("", ', "max_completion_tokens": 8192')
_ASK = _swap("", ',"stream_options":{"include_usage":true}')
_HI = '"messages":[{"role":"user","content":"hi"}]'
OPENAI = {
    "compact": f'{{"model":{_G},"max_completion_tokens":5,{_HI},{ODDITIES}}}',
    "odd spacing": f'\n {{ \t"model" :\r\n  {_G} , "max_tokens":5,\n\n"messages" : [ {{"role" : "user" ,"content":"hi" }} ] ,{ODDITIES}\n}} \n\t ',
    "no cap": f'{{{_HI},"model":{_G},{ODDITIES}{_CAP}}}',
    "no cap, as Python writes": '{"model": '
    + _G
    + ', "messages": [{"role": "user", "content": "hi"}]'
    + _SPACED_CAP
    + "}",
    "no cap, oddly spaced": f'{{ "model":{_G}, {_HI} , "x" : 1{_CAP} }} \n',
    "a cap of null": f'{{"model":{_G},"max_tokens":null,{_HI}{_CAP}}}',
    "streamed": f'{{"model":{_G},"max_tokens":5,{_HI},"stream":true{_ASK}}}',
    "streamed without a cap": f'{{"model":{_G},{_HI},"stream":true{_CAP}{_ASK}}}',
    "usage not wanted": f'{{"model":{_G},"max_tokens":5,"stream_options":{{"include_usage":'
    + _swap("false", "true")
    + f',"include_obfuscation":false}},{_HI},"stream":true}}',
    "usage not said": f'{{"model":{_G},"max_tokens":5,"stream_options":{{"include_obfuscation":false'
    + _swap("", ',"include_usage":true')
    + f'}},{_HI},"stream":true}}',
    "options of null": f'{{"model":{_G},"max_tokens":5,"stream_options":'
    + _swap("null", '{"include_usage":true}')
    + f',{_HI},"stream":true}}',
    "usage wanted": f'{{"model":{_G},"max_tokens":5,"stream_options":{{ "include_usage" : true }},{_HI},"stream":true}}',
    "not streamed": f'{{"stream":false,"model":{_G},"max_tokens":5,{_HI}}}',
    "streamed or not": f'{{"stream":null,"model":{_G},"max_tokens":5,{_HI}}}',
    "vendors' own words": f'{{"model":{_G},"max_tokens":5,"messages":[{{"role":"assistant","content":null,"reasoning_content":"h\\u00e9","reasoning_details":[{{"type":"reasoning.text","signature":"s/+=="}}],"tool_calls":[{{"id":"functions.Bash:0","type":"function","function":{{"name":"Bash","arguments":"{{ \\"b\\":1.0, \\"a\\":2}}"}}}}]}},{{"role":"tool","tool_call_id":"functions.Bash:0","content":""}},{{"role":"user","content":[{{"type":"text","text":"hi","cache_control":{{"type":"ephemeral"}}}}]}}],"provider":{{"order":["a","b"]}},"tool_choice":"auto","tools":[{{"type":"function","function":{{"name":"Bash","parameters":{{"type":"object","properties":{{"model":{{}}}}}}}}}}],"metadata":{{"model":"x"}},"seed":9007199254740993}}',
    "a long history": f'{{"model":{_G},"max_tokens":5,"messages":[{_LONG}]}}',
}

_R = _swap('"responses"', '"o-up"')
_TOP = _swap("", ',"max_output_tokens":8192')
_ITEMS = (
    r'[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},'
    r'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAAABo\/x+=="},'
    r'{"type":"function_call","call_id":"call_1","name":"shell","arguments":"{ \"b\":1.0, \"a\":2}","status":"completed"},'
    r'{"type":"function_call_output","call_id":"call_1","output":""},{"type":"new_item","x":1.0}]'
)
RESPONSES = {
    "compact": f'{{"model":{_R},"max_output_tokens":16,"input":"hi",{ODDITIES}}}',
    "odd spacing": f'\n {{ \t"model" :\r\n  {_R} , "max_output_tokens":16,\n\n"input" : "hi" ,{ODDITIES}\n}} \n\t ',
    "no cap": f'{{"input":"hi","model":{_R},{ODDITIES}{_TOP}}}',
    "no cap, as Python writes": '{"model": ' + _R + ', "input": "hi"' + _swap("", ', "max_output_tokens": 8192') + "}",
    "items": f'{{"model":{_R},"max_output_tokens":16,"input":{_ITEMS},"include":["reasoning.encrypted_content"],"store":false}}',
    "as Codex asks": f'{{"model":{_R},"instructions":"Be brief.","input":{_ITEMS},"tools":[{{"type":"function","name":"shell","strict":false,"parameters":{{"type":"object","properties":{{}}}}}},{{"type":"web_search"}},{{"type":"custom","name":"apply_patch"}}],"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{{"effort":"medium","summary":"auto"}},"store":false,"stream":true,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","text":{{"verbosity":"low"}}{_TOP}}}',
    "not streamed": f'{{"stream":false,"model":{_R},"max_output_tokens":16,"input":"hi"}}',
    "streamed or not": f'{{"stream":null,"model":{_R},"max_output_tokens":16,"input":"hi"}}',
}

_GONE = _swap('"model":"invoke",', "")
_VERSION = _swap("", ',"anthropic_version":"bedrock-2023-05-31"')
_BEDROCK_BETAS = _swap("", ',"anthropic_beta":["interleaved-thinking-2025-05-14","context-1m-2025-08-07"]')
INVOKE = {
    "compact": f'{{{_GONE}"max_tokens":5,"messages":[{{"role":"user","content":"h\\u00e9"}}],"temperature":1.0{_VERSION}}}',
    "odd spacing": '{ ' + _swap('"model" :\t"invoke" , ', "") + '"max_tokens" : 5 ,\n "messages" : [ {"role" : "user" , "content" : "hi" } ]' + _swap(' , "stream" : true', "") + _VERSION + " }\n ",
    "thinking with its signatures": f'{{{_GONE}"max_tokens":5000,"thinking":{{"type":"enabled","budget_tokens":1024}},"messages":[{{"role":"user","content":"hi"}},{_SIGNED}]{_VERSION}}}',
    "streamed": f'{{{_GONE}"max_tokens":5,' + _swap('"stream":true,', "") + f'"messages":[{{"role":"user","content":"hi"}}]{_VERSION}}}',
    "streamed or not": f'{{{_GONE}"max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]' + _swap(',"stream":null', "") + f"{_VERSION}}}",
    "cache marks": f'{{{_GONE}"max_tokens":5,"system":[{{"type":"text","text":"Be brief.","cache_control":{{"type":"ephemeral"' + _swap(',"scope":"global"', "") + f'}}}}],"messages":[{{"role":"user","content":[{{"cache_control":{{"ttl":"1h","type":"ephemeral"}},"type":"text","text":"hi"}}]}}]{_VERSION}}}',
    "what Bedrock does not know": f'{{{_GONE}"max_tokens":5,' + _swap('"service_tier":"auto","inference_geo":"us","mcp_servers":[],"new_field":1,', "") + f'"messages":[{{"role":"user","content":"hi"}}]{_VERSION}}}',
}  # fmt: skip
WITH_BETAS = f'{{{_GONE}"max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]{_VERSION}{_BEDROCK_BETAS}}}'
_V = _swap('"vectors"', '"vectors-up"')
VECTORS = {
    "compact": f'{{"model":{_V},"input":"h\\u00e9",{ODDITIES}}}',
    "odd spacing": f'{{ "input" :[ "a"," " , "b\\/"] ,\n"encoding_format":"base64" , "model" : {_V} , "dimensions": 256}} \n',
    "tokens": f'{{"input":[[1,2,3],[4]],"model":{_V},"user":""}}',
}
ALL = {"anthropic": ANTHROPIC, "openai": OPENAI, "responses": RESPONSES, "invoke": INVOKE, "vectors": VECTORS}


def differs(template: str) -> bool:
    """That a template is one: JSON on either side, and not the same."""
    json.loads(sent(template))
    json.loads(received(template))
    return sent(template) != received(template)

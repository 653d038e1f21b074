# SPDX-License-Identifier: Apache-2.0
"""Writes chat_templates.json: templates, messages and what the published renderer makes of them.

Run with a Python that has transformers 4.57 and jinja2 3.1:
    python make_chat_template_goldens.py
The templates named after a model are functional equivalents of what that model family publishes,
written for this file. Reads nothing; the output is the same every time.
"""

import datetime
import json
import pathlib

import jinja2
from transformers.utils import chat_template_utils

NOW = datetime.datetime(2024, 7, 5, 9, 3, 7)


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = FixedClock

# --- templates of model families ------------------------------------------------------------------

LLAVA_15 = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}"
    "{% endif %}{# pictures first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}{# then text #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}"
    "{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

LLAVA_NEXT_MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<<SYS>>\\n' + message['content'][0]['text'] + '\\n<</SYS>>\\n\\n' }}{% elif message['role'] == 'user' %}"
    "{{ '[INST] ' }}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}"
    "{% endfor %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}"
    "{% endfor %}{{' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '</s> '}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)

LLAVA_NEXT_VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}"
    "{% else %}{{ ' ' + message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)

LLAVA_ONEVISION = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ '\\n' + content['text'] }}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}"
    "{{ '\\n' + content['text'] }}{% endgeneration %}{% endfor %}{% endif %}{{'<|im_end|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

LLAVA_NEXT_LLAMA3 = (
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] | trim }}{% endfor %}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

LLAMA_31 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken out first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Answer with a function call.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL_V1 = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)

MISTRAL_V3 = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- Checks the turns, ignoring tool messages. #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

VICUNA = (
    "{% set ns = namespace(seen=false) %}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + ' ' }}"
    "{% else %}{{ 'A chat. ' }}{% endif %}{% for m in messages if m['role'] != 'system' %}"
    "{% if m['role'] == 'user' %}USER: {{ m['content'] }} {% else %}ASSISTANT: {{ m['content'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

QWEN_15 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

QWEN_25 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Thinking text is cut out of the answers, back to front, as Qwen3's template does.
QWEN_3 = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

# One macro for parts and a counter in a namespace, as the Qwen VL templates do.
QWEN_VL = """{% set image_count = namespace(value=0) %}{% macro render_content(content, do_vision_count=true) %}
{%- if content is string %}
{{- content }}
{%- else %}
{%- for item in content %}
{%- if 'image' in item or 'image_url' in item or item.type == 'image' %}
{%- if do_vision_count %}{% set image_count.value = image_count.value + 1 %}{% endif %}
{%- if add_vision_id %}Picture {{ image_count.value }}: {% endif -%}
<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in item %}
{{- item.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{%- endmacro %}
{% for message in messages %}<|im_start|>{{ message.role }}
{{ render_content(message.content, do_vision_count=message.role == 'user') }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

CHATML = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)

GEMMA_3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)

PHI_3 = (
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)

SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == 'image' %}"
    "{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

COMMAND_R = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% if system_message != false %}{{ '<|SYSTEM|>' + system_message + '<|END|>' }}{% endif %}{% for message in loop_messages %}{% set content = message['content'] %}{% if message['role'] == 'user' %}{{ '<|USER|>' + content.strip() + '<|END|>' }}{% elif message['role'] == 'assistant' %}{{ '<|CHATBOT|>' + content.strip() + '<|END|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|CHATBOT|>' }}{% endif %}"""

TEXT_MODELS = {
    "llama_2": LLAMA_2,
    "llama_3": LLAMA_3,
    "llama_31": LLAMA_31,
    "mistral_v1": MISTRAL_V1,
    "mistral_v3": MISTRAL_V3,
    "vicuna": VICUNA,
    "qwen_15": QWEN_15,
    "qwen_25": QWEN_25,
    "qwen_3": QWEN_3,
    "chatml": CHATML,
    "gemma": GEMMA,
    "zephyr": ZEPHYR,
    "phi_3": PHI_3,
    "command_r": COMMAND_R,
}
PART_MODELS = {
    "llava_15": LLAVA_15,
    "llava_next_mistral": LLAVA_NEXT_MISTRAL,
    "llava_next_vicuna": LLAVA_NEXT_VICUNA,
    "llava_next_llama3": LLAVA_NEXT_LLAMA3,
    "llava_onevision": LLAVA_ONEVISION,
    "qwen_vl": QWEN_VL,
    "gemma_3": GEMMA_3,
    "smolvlm": SMOLVLM,
}

# --- conversations --------------------------------------------------------------------------------

USER = {"role": "user", "content": " What is it? \n"}
ANSWER = {"role": "assistant", "content": "A caf\u00e9,\nI \"think\". "}
SYSTEM = {"role": "system", "content": "Be brief."}
TEXT_CHATS = {
    "one": [USER],
    "system": [SYSTEM, USER],
    "two": [USER, ANSWER, {"role": "user", "content": "Why?"}],
    "answered": [SYSTEM, USER, ANSWER],
    "not_alternating": [USER, USER],
    "assistant_first": [ANSWER],
    "other_role": [USER, {"role": "critic", "content": "No."}],
    "thinking": [USER, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes."}, USER,
                 {"role": "assistant", "content": "<think>\nOh.\n</think>\n\nNo."}],
}


def part(kind, text=None):
    return {"type": kind} if text is None else {"type": kind, "text": text}


PART_CHATS = {
    "image": [{"role": "user", "content": [part("image"), part("text", "What is this?")]}],
    "image_last": [{"role": "user", "content": [part("text", " And this? "), part("image")]}],
    "two_images": [{"role": "user", "content": [part("image"), part("image"), part("text", "Compare.")]}],
    "turns": [{"role": "system", "content": [part("text", "Be brief.")]},
              {"role": "user", "content": [part("image"), part("text", "What?")]},
              {"role": "assistant", "content": [part("text", "A cat.")]},
              {"role": "user", "content": [part("text", "Sure?")]}],
    "text_only": [{"role": "user", "content": [part("text", "Hi")]}],
    "other_role": [{"role": "critic", "content": [part("text", "Hi")]}],
}

TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "It's the \"weather\" <now> & here \u00e9.",
     "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["A", "B"]},
                    "days": {"type": "integer", "default": 3}, "exact": {"type": "number", "default": 0.5}},
                    "required": ["city"], "additionalProperties": False}, "return": None}},
    {"type": "function", "function": {"name": "stop", "parameters": {}}},
]
TOOL_CHAT = [
    SYSTEM, USER,
    {"role": "assistant", "content": "", "tool_calls": [
        {"id": "abcdef123", "type": "function",
         "function": {"name": "weather", "arguments": {"city": "A", "days": 2, "exact": 1e-7, "on": True, "no": None}}}]},
    {"role": "tool", "tool_call_id": "abcdef123", "name": "weather", "content": "{\"sun\": 1.0}"},
    {"role": "assistant", "content": "Sunny."},
    {"role": "user", "content": "Thanks"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

# --- the language, one line each ------------------------------------------------------------------

VALUES = {
    "n": 7, "z": 0, "neg": -7, "f": 2.5, "big": 1e22, "small": 1.5e-7, "t": True, "none_value": None,
    "s": "Hello, W\u00f6rld", "pad": " \t x y \n", "empty": "", "digits": "42", "quote": "it's", "both": "'\"",
    "control": "a\u0001b\u007f\u00a0\u2028\U0001f600\n", "list": [3, 1, 2], "words": ["b", "a", "C"], "nested": [[1, "x"], {"k": None}],
    "map": {"b": 1, "a": [1, 2], "items": "own"}, "people": [{"name": "Bo", "age": 3, "in": {"x": 1}}, {"name": "al", "age": 2}],
    "none_list": [], "mixed": [1, 1.0, True, "1"],
}

EXPRESSIONS = """
n + 1 * 2
(n + 1) * 2
n - 1 - 1
2 ** 3 ** 2
-n ** 2
n / 2
n // 2
neg // 2
neg % 3
n % -3
f // 1
-f // 1
neg / 2.0
f % 2
-f % 2
2 ** -1
2 ** 0.5
1_000 + 0x1F + 0b11 + 0o17
1.5e3
1e3
.5 if false else 5
big
small
f * 4
1/3
100.0
1e16
123456789012345678
12345678901234567.0
0.1 + 0.2
true + true
t
none_value
not n
n and s
z or s
z and s
n > 3 and n < 10
3 < n < 10
3 < n < 5
n == 7.0
1 == true
'1' == 1
s == 'x' or s != 'x'
'a' < 'b'
'a' < 'B'
[1, 2] < [1, 3]
[1, 2] == [1, 2]
(1, 2)
(1,)
()
1, 2
[1, 'a', none, true, 2.0, [], {}]
{'a': 1, 'b': [1, 'x']}
{'a': 1, 'a': 2}
s ~ n ~ none ~ true ~ f
'a' 'b'
'ab' * 3
[1] * 2
3 * 'x'
[1] + [2]
(1,) + (2,)
'H' in s
'h' not in s
3 in list
'b' in map
'zz' in map
1 in undefined_thing
undefined_thing
undefined_thing is defined
undefined_thing == other_undefined
map.zzz
map.zzz is undefined
map.b
map['b']
map.a[0]
map.a.1
map['items']
map.items is callable
map.items()|list
map.keys()|list
map.values()|list
map.get('b')
map.get('q')
map.get('q', 'def')
map.items is defined
list[0]
list[-1]
list[9]
list[9] is defined
list[1:]
list[:-1]
list[::-1]
list[::2]
s[0]
s[-4]
s[7:9]
s[::-1]
s[100:]
s[-3:]
s[99]
none_value.foo is defined
n.foo is defined
list.append is defined
map.update is defined
s.upper()
s.lower()
s.title()
s.capitalize()
pad.strip()
pad.lstrip()
pad.rstrip()
s.strip('Hd')
s.split(',')
s.split()
pad.split()
' a b  c '.split(none, 1)
' a b  c '.rsplit(none, 1)
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
'a\\nb\\r\\nc'.splitlines()
s.startswith('Hello')
s.startswith(('x', 'H'))
s.endswith('x')
s.replace('l', 'L')
s.replace('l', 'L', 1)
'abc'.replace('', '-')
s.find('W')
s.find('zzz')
s.rfind('l')
s.index('o')
s.count('l')
', '.join(words)
'x'.isdigit()
digits.isdigit()
' '.isspace()
'aB'.isalpha()
'AB'.isupper()
'a1'.islower()
'prefix-x'.removeprefix('prefix-')
'x.py'.removesuffix('.py')
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
words.index('a')
words.count('a')
s | length
list | length
map | length
s | upper
s | lower
'a-b (c) d' | title
'hELLO' | capitalize
pad | trim
'xxaxx' | trim('x')
n | string + '!'
digits | int + 1
'42.7' | int
'x' | int
'x' | int(5)
'0x1f' | int(0, 16)
none_value | int
f | int
'1.5' | float
'x' | float
true | int
neg | abs
42.55 | round
42.55 | round(1)
2.5 | round
42.55 | round(1, 'floor')
42.51 | round(method='ceil')
7 | round
list | first
list | last
none_list | first
none_list | first is defined
s | first
list | sort
list | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
people | sort(attribute='age') | map(attribute='name') | join(',')
people | map(attribute='in.x') | list
people | map(attribute='in.x', default=0) | list
people | map(attribute='name') | map('upper') | list
words | map('lower') | sort | join
list | join('-')
people | join(', ', attribute='name')
list | sum
people | sum(attribute='age')
list | min
list | max
people | max(attribute='age')
mixed | unique | list
words | reverse | list
'abc' | reverse
map | dictsort
map | dictsort(by='key', reverse=true)
map | items | list
list | list
'ab' | list
map | list
people | selectattr('in') | list | length
people | selectattr('age', 'gt', 2) | map(attribute='name') | list
people | selectattr('name', 'equalto', 'Bo') | list
people | rejectattr('name', 'equalto', 'Bo') | list
list | select('odd') | list
list | reject('odd') | list
[0, 1, '', 'x'] | select | list
list | select('in', [1, 2]) | list
list | select('divisibleby', 2) | list
people | selectattr('zz', 'defined') | list
undefined_thing | default('d')
undefined_thing | d('d')
none_value | default('d')
none_value | default('d', true)
empty | default('d', boolean=true)
s | replace('o', '0')
s | replace('o', '0', 1)
'a\\nb\\n\\nc' | indent
'a\\nb\\n\\nc' | indent(2, true)
'a\\nb\\n\\nc' | indent(width=1, blank=true)
map | tojson
nested | tojson
people | tojson(indent=2)
[] | tojson(indent=2)
{'a': {}} | tojson(indent=2)
control | tojson
control | tojson(ensure_ascii=true)
map | tojson(sort_keys=true)
map | tojson(separators=(',', ':'))
[1.0, 1e22, 1.5e-7, true, none, 'x'] | tojson
(1, 2) | tojson
s | safe
control
[control]
[quote, both]
[s]
nested
map
people
n is number
f is number
t is number
n is integer
t is integer
f is float
t is boolean
s is string
list is string
map is mapping
list is mapping
list is iterable
s is iterable
n is iterable
list is sequence
map is sequence
none_value is none
n is none
n is not none
n is odd
n is even
n is divisibleby 7
n is divisibleby(2)
n is eq 7
n is equalto 8
true is sameas true
none is sameas none_value
n is in [7]
n is gt 3
'abc' is lower
'ABC' is upper
undefined_thing is iterable
undefined_thing is sequence
undefined_thing is none
t is true
t is false
s is defined and n is defined
not s is string
n if n > 3 else s
n if n > 30
(n if n > 30) is defined
'a' if z else 'b' if none_value else 'c'
range(3) | list
range(1, 7, 2) | list
range(3, 0, -1) | list
dict(a=1, b=2)
namespace(a=1).a
'%' ~ 5
"double \\"quoted\\" \\\\ \\x41 \\u00e9 \\t|"
'tab\\tnew\\nline'
'\\d'
('a', 'b')[1]
{'a': 1}.a
{'a': 1}['a']
[1, 2, 3][1:][0]
'abc'[1:].upper()
(list | first) + 1
list | length > 2
-list | first
loop is defined
messages | length
strftime_now('%Y-%m-%d %H:%M:%S %j %y %B %b %A %a %p %I %-d %%')
people[0]['in'].x
people | map(attribute='age') | sum
s | upper | lower | title
words == ['b', 'a', 'C']
people[0] == people[0]
none == none
[none] == [none]
""".strip("\n").split("\n")

STATEMENTS = {
    "if_elif_else": "{% if n == 1 %}one{% elif n == 7 %}seven{% else %}other{% endif %}",
    "if_block_sets_outside": "{% if true %}{% set x = 1 %}{% endif %}{{ x }}",
    "for_does_not_leak": "{% set x = 0 %}{% for i in list %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}",
    "for_fresh_each_time": "{% for i in list %}{{ y is defined }}{% set y = i %}{{ y }} {% endfor %}",
    "namespace": "{% set ns = namespace(x=0, y=[]) %}{% for i in list %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y + [i] %}{% endfor %}{{ ns.x }}{{ ns.y }}",
    "loop_variables": "{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "loop_previtem_defined": "{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{{ loop['index'] }}{{ loop.zz is defined }} {% endfor %}",
    "loop_filter": "{% for i in list if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }}{{ loop.last }} {% endfor %}",
    "loop_filter_lazy": "{% set ns = namespace(stop=false) %}{% for i in list if not ns.stop %}{{ i }}{% set ns.stop = true %}{% endfor %}",
    "loop_filter_peeks": "{% set ns = namespace(stop=false) %}{% for i in list if not ns.stop %}{{ i }}{{ loop.last }}{% set ns.stop = true %}{% endfor %}",
    "loop_else": "{% for i in none_list %}{{ i }}{% else %}empty{% endfor %}{% for i in list %}{{ i }}{% else %}empty{% endfor %}",
    "loop_nested": "{% for i in list %}{% for j in words %}{{ loop.index }}{{ j }}{% endfor %}{{ loop.index }} {% endfor %}",
    "loop_unpack": "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in map | dictsort %}{{ k }};{% endfor %}",
    "loop_unpack_parentheses": "{% for (a, b) in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %}",
    "loop_over_text": "{% for c in 'h\u00e9!' %}{{ c }}.{% endfor %}",
    "loop_over_map": "{% for k in map %}{{ k }}{% endfor %}",
    "loop_over_undefined": "{% for k in nothing %}{{ k }}{% else %}none{% endfor %}",
    "loop_over_tuple": "{% for k in 1, 2, 3 %}{{ k }}{% endfor %}",
    "loop_cycle": "{% for k in list %}{{ loop.cycle('odd', 'even') }}{{ loop.changed(k > 1) }} {% endfor %}",
    "loop_break": "{% for i in range(10) %}{% if i == 3 %}{% break %}{% endif %}{% if i % 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "loop_break_nested": "{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "loop_inside_if": "{% for i in list %}{% if loop.last %}{% set z = 'end' %}{{ z }}{% endif %}{{ z }}{% endfor %}",
    "set_unpack": "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "set_tuple": "{% set a = 1, 2 %}{{ a }}",
    "set_block": "{% set a %}x{{ n }}y{% endset %}{{ a | length }}{{ a }}",
    "set_block_filter": "{% set a | upper | replace('X', 'z') %}x{{ n }}y{% endset %}{{ a }}",
    "set_block_scope": "{% set a %}{% set q = 1 %}{% endset %}{{ q is defined }}",
    "filter_block": "{% filter upper %}abc {{ s }}{% endfilter %}",
    "with": "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "macro": "{% macro m(a, b='d', c=a) %}<{{ a }}|{{ b }}|{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(b=3, a=4) }}{{ m() }}",
    "macro_sees_globals": "{% set g = 1 %}{% macro m() %}{{ g }}{{ n }}{% set g = 5 %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}{{ g }}",
    "macro_does_not_see_loop": "{% macro m() %}{{ i is defined }}{{ loop is defined }}{% endmacro %}{% for i in list %}{{ m() }}{% endfor %}",
    "macro_recursive": "{% macro m(k) %}{{ k }}{% if k > 0 %}{{ m(k - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "macro_result": "{% macro m() %} x {% endmacro %}{{ m() | trim | length }}{{ m() + 'y' }}",
    "macro_missing": "{% macro m(a) %}{{ a is defined }}[{{ a }}]{% endmacro %}{{ m() }}",
    "generation": "{% generation %}a{% set q = 1 %}{{ n }}{% endgeneration %}{{ q is defined }}",
    "generator_is_true": "{{ 'yes' if none_list | select else 'no' }}{% if people | selectattr('zz') %}t{% endif %}",
    "generator_once": "{% set g = list | select %}{% for i in g %}{{ i }}{% endfor %}|{% for i in g %}{{ i }}{% endfor %}",
    "view_truth": "{{ 'yes' if {}.items() else 'no' }}{{ map.items() | length }}",
    "raw": "{% raw %}{{ n }}{% if %}{# x #}{% endraw %}!",
    "raw_strip": "a  {%- raw -%}  {{ x }}  {%- endraw -%}  b",
    "comment": "a{# {{ n }} {% if %} #}b",
    "comment_newline": "a\n  {# c #}\nb",
    "comment_strip": "a \n {#- c -#} \n b",
    "trim_blocks": "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "lstrip_blocks": "a\n   {% if true %}\n  b\n   {% endif %}\nc",
    "lstrip_not_variable": "a\n   {{ n }}\n b",
    "lstrip_after_text": "a   {% if true %}\nb{% endif %}",
    "lstrip_tabs": "\t {% if true %}x{% endif %}\n\t{% set q = 1 %}\ny",
    "plus_keeps": "a\n   {%+ if true %}\nb\n {% endif +%}\nc",
    "minus_strips": "a \n\n {%- if true -%} \n b \n {%- endif -%} \n c",
    "minus_variable": "a \n {{- n -}} \n b",
    "minus_is_negative": "{{ -n }}{{-n}}{{ 5 -n }}",
    "trailing_newline": "x\n\n",
    "only_newline": "\n",
    "crlf": "a\r\n{% if true %}\r\nb\r{% endif %}\r\nc\r\n",
    "space_kept_after_variable": "{{ n }}\n{{ n }}\n",
    "nested_braces": "{{ {'a': {'b': 1}} }}{{ {'a': 1}|length }}",
    "string_with_tags": "{{ '{{ x }}' }}{{ \"%}\" }}",
    "lone_braces": "{ } {x} % %} }} #} {",
    "multi_line": "{{ n\n  + 1 }}{% set x =\n [\n1,\n2,\n] %}{{ x }}",
    "string_over_lines": "{{ 'a\nb' }}",
    "bad_attribute_is_undefined": "{{ messages.foo is defined }}{{ (messages | first).foo is defined }}",
    "shadow_messages": "{% set messages = messages[1:] %}{{ messages | length }}",
    "empty_output": "{{ '' }}{{ none_list | join }}",
    "colon_after_if": "{% if true: %}x{% endif %}",
    "print_tuple": "{{ 1, 'a' }}",
    "call_result_attribute": "{{ dict(a=[1, 2]).a[1] }}",
    "else_scope": "{% for i in none_list %}{% else %}{% set w = 1 %}{% endfor %}{{ w is defined }}",
    "set_after_loop_hides": "{% for i in list %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }}",
    "set_after_read_keeps": "{{ n }}{% for i in list %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }}",
    "set_in_branch_keeps": "{% for i in list %}{{ n }}{% endfor %}{% if z %}{% set n = 1 %}{% endif %}{{ n }}",
    "set_in_all_branches": "{% for i in list %}{{ n }}{% endfor %}{% if z %}{% set n = 1 %}{% elif t %}{% set n = 2 %}{% else %}{% set n = 3 %}{% endif %}{{ n }}",
    "set_in_if_and_else": "{% for i in list %}{{ n }}{% endfor %}{% if z %}{% set n = 1 %}{% else %}{% set n = 3 %}{% endif %}{{ n }}",
    "set_hides_in_inner_loop": "{% for i in list %}{% for j in list %}{{ n }}{% endfor %}{% set n = i %}{{ n }}{% endfor %}{{ n }}",
    "set_hides_from_macro": "{% macro m() %}{{ n }}{% endmacro %}{{ m() }}{% set n = 1 %}{{ m() }}",
    "set_hides_in_macro": "{% macro m() %}{% for i in list %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }}{% endmacro %}{{ m() }}",
    "set_hides_in_generation": "{% generation %}{% for i in list %}{{ n }}{% endfor %}{% set n = 1 %}{% endgeneration %}",
    "outer_read_keeps_inner": "{{ n }}{% for i in list %}{% for j in list %}{{ n }}{% endfor %}{% set n = i %}{{ n }}{% endfor %}",
    "set_own_value": "{% for i in list %}{{ n }}{% endfor %}{% set n = n + 1 %}{{ n }}",
    "for_target_shadow": "{% set i = 'out' %}{% for i in list %}{{ i }}{% endfor %}{{ i }}",
    "if_undefined": "{% if nothing %}a{% else %}b{% endif %}{% if not nothing %}c{% endif %}",
    "join_block": "{% for m in people %}{{ m.name }}{{ ', ' if not loop.last }}{% endfor %}",
}

ERRORS = {
    "raise": "{{ raise_exception('My reason.') }}",
    "raise_in_loop": "{% for i in list %}\n{% if i == 1 %}{{ raise_exception('Bad ' ~ i) }}{% endif %}{% endfor %}",
    "undefined_attribute": "{{ nothing.foo }}",
    "undefined_item": "{{ nothing['foo'] }}",
    "undefined_add": "{{ 'a' + nothing }}",
    "undefined_call": "{{ nothing() }}",
    "undefined_method": "{{ s.nothing() }}",
    "undefined_compare": "{{ nothing < 3 }}",
    "text_plus_number": "{{ 'a' + 1 }}",
    "none_plus_text": "{{ none + 'a' }}",
    "iterate_number": "{% for i in n %}{% endfor %}",
    "iterate_none": "{% for i in none_value %}{% endfor %}",
    "none_contains": "{{ 'a' in none_value }}",
    "number_in_text": "{{ 1 in 'abc' }}",
    "length_of_number": "{{ n | length }}",
    "length_of_generator": "{{ list | select | length }}",
    "last_of_generator": "{{ list | select | last }}",
    "division_by_zero": "{{ 1 / 0 }}",
    "modulo_zero": "{{ 1 % 0 }}",
    "compare_types": "{{ 'a' < 1 }}",
    "not_callable": "{{ s() }}",
    "append": "{{ list.append(1) }}",
    "too_many_macro_arguments": "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "unknown_macro_keyword": "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}",
    "unpack_count": "{% set a, b = [1] %}",
    "attribute_of_list": "{% set list.x = 1 %}",
    "empty_separator": "{{ s.split('') }}",
    "index_missing": "{{ s.index('zzz') }}",
    "range_too_long": "{{ range(1000000) | length }}",
    "tojson_undefined": "{{ nothing | tojson }}",
    "slice_step_zero": "{{ list[::0] }}",
    "join_numbers": "{{ ','.join(list) }}",
    "sum_text": "{{ words | sum }}",
    "unhashable": "{{ {}.get([]) }}",
    "syntax_unclosed_if": "{% if true %}x",
    "syntax_unclosed_variable": "{{ n ",
    "syntax_unclosed_comment": "{# x",
    "syntax_unclosed_raw": "{% raw %}x",
    "syntax_unclosed_text": "{{ 'x }}",
    "syntax_empty": "{{ }}",
    "syntax_two_values": "{{ 1 2 }}",
    "syntax_end": "{% endif %}",
    "syntax_brackets": "{{ (1] }}",
    "syntax_operator": "{{ 1 + }}",
    "syntax_character": "{{ 1 ! 2 }}",
    "syntax_tag": "{% unknown_tag %}",
    "syntax_default_order": "{% macro m(a=1, b) %}{% endmacro %}",
    "syntax_chained_is": "{{ 1 is number is number }}",
    "syntax_assign_constant": "{% set true = 1 %}",
    "syntax_break": "{% break %}",
    "syntax_loop_target": "{% for loop in list %}{{ loop }}{% endfor %}",
    "syntax_keyword_first": "{{ dict(a=1, 2) }}",
}


def render(template, variables):
    return chat_template_utils._compile_jinja_template(template).render(**variables)


def outcome(case, variables):
    try:
        case["expected"] = render(case["template"], variables)
    except jinja2.exceptions.TemplateSyntaxError:
        case["error"] = {"kind": "syntax"}
    except jinja2.exceptions.TemplateError as error:
        kind = "raised" if type(error) is jinja2.exceptions.TemplateError else "runtime"
        case["error"] = {"kind": kind, "text": str(error)}
    except SyntaxError:
        case["error"] = {"kind": "syntax"}
    except Exception as error:
        case["error"] = {"kind": "runtime", "text": str(error)}
    return case


def chat_case(name, chat, template, messages, generate, tools=None, extra=None):
    case = {"name": f"{name} {chat}", "template": template, "messages": messages,
            "add_generation_prompt": generate, "special_tokens": TOKENS, "tools": tools}
    if extra:
        case["variables"] = extra
    variables = {**TOKENS, "messages": messages, "tools": tools, "documents": None,
                 "add_generation_prompt": generate, **(extra or {})}
    return outcome(case, variables)


def value_case(name, template):
    case = {"name": name, "template": template}
    variables = {**VALUES, "messages": [USER, ANSWER], "tools": None, "documents": None,
                 "add_generation_prompt": False}
    return outcome(case, variables)


def main():
    cases = []
    for name, template in TEXT_MODELS.items():
        for chat, messages in TEXT_CHATS.items():
            for generate in (False, True) if chat in ("one", "answered") else (True,):
                cases.append(chat_case(name, chat, template, messages, generate))
    for name in ("llama_31", "mistral_v3", "qwen_25"):
        cases.append(chat_case(name, "tools", TEXT_MODELS[name], TEXT_CHATS["system"], True, TOOLS))
        cases.append(chat_case(name, "tool_calls", TEXT_MODELS[name], TOOL_CHAT, True, TOOLS))
    cases.append(chat_case("llama_31", "tools_in_system", LLAMA_31, TOOL_CHAT, True, TOOLS,
                           {"tools_in_user_message": False, "date_string": "1 Jan 2025"}))
    cases.append(chat_case("qwen_3", "no_thinking", QWEN_3, TEXT_CHATS["two"], True, None, {"enable_thinking": False}))
    for name, template in PART_MODELS.items():
        for chat, messages in PART_CHATS.items():
            for generate in (False, True) if chat in ("image", "turns") else (True,):
                cases.append(chat_case(name, chat, template, messages, generate))
    for name in ("qwen_vl", "gemma_3"):
        cases.append(chat_case(name, "text", PART_MODELS[name], TEXT_CHATS["two"], True))
    cases.append(chat_case("qwen_vl", "ids", QWEN_VL, PART_CHATS["two_images"], True, None, {"add_vision_id": True}))
    # Templates repeat; they are stored once.
    templates = {}
    for case in cases:
        key = case["name"].split()[0]
        templates[key] = case["template"]
        case["template"] = key
    values = [value_case(text, "{{ " + text + " }}") for text in EXPRESSIONS]
    values += [value_case(name, template) for name, template in STATEMENTS.items()]
    values += [value_case(name, template) for name, template in ERRORS.items()]
    out = {"now": list(NOW.timetuple())[:8], "values": VALUES, "value_messages": [USER, ANSWER], "value_cases": values,
           "templates": templates, "chat_cases": cases}
    path = pathlib.Path(__file__).with_name("chat_templates.json")
    path.write_text(json.dumps(out, indent=0, ensure_ascii=True) + "\n")
    print(len(values), "value cases,", len(cases), "chat cases")


if __name__ == "__main__":
    main()

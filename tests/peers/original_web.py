#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One question through the functions of the original's web server, without its page.

usage: original_web.py CONTROLLER MODEL PICTURE QUESTION OUTPUT     writes {"models", "answer"} to OUTPUT
"""

import argparse
import json
import sys
from types import SimpleNamespace

from llava.conversation import default_conversation
from llava.serve import gradio_web_server as web
from PIL import Image

controller, model, picture, question, output = sys.argv[1:]
web.args = argparse.Namespace(controller_url=controller, moderate=False, model_list_mode="once")
request = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"))
models = web.get_model_list()
state, *_ = web.add_text(default_conversation.copy(), question, Image.open(picture).convert("RGB"), "Default", request)
for state, *_ in web.http_bot(state, model, 0.0, 1.0, 12, request):
    pass
with open(output, "w") as file:
    json.dump({"models": models, "answer": state.messages[-1][-1]}, file)

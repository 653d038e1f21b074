// SPDX-License-Identifier: Apache-2.0
//
// Flags of `llava chat`.
#pragma once

#include <string>
#include <vector>

#include "llava/engine/answer.h"
#include "llava/engine/open_engine.h"
#include "llava/engine/pretrained.h"
#include "llava/runtime.h"
#include "picture_source.h"
#include "session.h"

namespace llava::app {

struct ChatOptions {
  engine::LoadRequest load;
  RuntimeOptions runtime;
  engine::AnswerOptions answer;
  engine::EngineOptions engine;
  PictureOptions pictures;
  std::vector<std::string> image_file;
  std::string prompt;
  std::string conv_mode;
  std::string server;
  std::string api_key;
  bool compat_history = false;
  bool debug = false;

  template <class V>
  void describe(V& v) {
    v.field("image-file", image_file,
            "picture to talk about: a path or a URL; several times for several");
    v.field("prompt", prompt, "ask this, print the answer alone and leave");
    v.field("server", server,
            "address of an OpenAI-compatible server that answers, instead of a model in this "
            "program; --model-path then is its name there");
    v.field("api-key", api_key, "key for the server, instead of OPENAI_API_KEY");
    v.field("conv-mode", conv_mode, "conversation template, instead of the model's own");
    v.field("compat-history", compat_history,
            "keep begin and end tokens in the history, as the original's chat does");
    v.field("debug", debug, "print prompt and answer of every round");
    load.describe(v);
    runtime.describe(v);
    answer.describe(v);
    engine.describe_single(v);
    describe_pin(v, answer);
    pictures.describe(v);
  }
};

}  // namespace llava::app

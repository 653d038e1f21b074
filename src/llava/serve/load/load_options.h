// SPDX-License-Identifier: Apache-2.0
//
// What load `llava bench serve` puts on a server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/config.h"

namespace llava::serve {

struct LoadOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string model;
  std::string api_key;
  int32_t requests = 100;
  int32_t concurrency = 4;
  double rate = 0;
  std::string arrivals = "poisson";
  int32_t burst = 8;
  std::string replay;
  int32_t prompt_words = 20;
  int32_t max_tokens = 64;
  bool ignore_eos = false;
  int32_t images = 1;
  int32_t image_size = 336;
  std::vector<std::string> image;
  double shared_image_ratio = 0;
  int32_t turns = 1;
  double abort_ratio = 0;
  uint64_t seed = 1;
  double slo_first_token_ms = 0;
  double slo_token_ms = 0;
  bool i_own_this_host = false;

  template <class V>
  void describe(V& v) {
    v.field("url", url, "address of an OpenAI-compatible server");
    v.field("model", model, "name that requests ask for; default: the server's first");
    v.field("api-key", api_key, "key to show");
    v.field("requests", requests, "conversations", in_range(1, 10'000'000));
    v.field("concurrency", concurrency,
            "closed loop: so many at a time, the next one when one ends", in_range(1, 65536));
    v.field("rate", rate, "open loop: so many a second, whatever the server does; 0: closed loop",
            in_range(0.0, 1e6));
    v.field("arrivals", arrivals, "how they arrive at that rate",
            one_of({"poisson", "uniform", "burst"}));
    v.field("burst", burst, "conversations that arrive together with --arrivals burst",
            in_range(1, 65536));
    v.field("replay", replay, "file of arrival times instead, in seconds, one a line");
    v.field("prompt-words", prompt_words, "random words of a question", in_range(1, 100'000));
    v.field("max-tokens", max_tokens, "most tokens of an answer", in_range(1, 1 << 20));
    v.field("ignore-eos", ignore_eos, "answers have exactly so many tokens");
    v.field("images", images, "pictures of a conversation", in_range(0, 64));
    v.field("image-size", image_size, "sides of the pictures that are drawn for it, in pixels",
            in_range(1, 4096));
    v.field("image", image, "picture file to ask about instead, may be given several times");
    v.field("shared-image-ratio", shared_image_ratio,
            "share of conversations that are about the same first picture", in_range(0.0, 1.0));
    v.field("turns", turns, "questions of a conversation, each with what was said before",
            in_range(1, 100));
    v.field("abort-ratio", abort_ratio, "share of answers that are broken off in the middle",
            in_range(0.0, 1.0));
    v.field("seed", seed, "of everything that is random");
    v.field("slo-first-token-ms", slo_first_token_ms,
            "goodput counts answers whose first token came within this time; 0: any",
            in_range(0.0, 1e9));
    v.field("slo-token-ms", slo_token_ms,
            "and whose tokens followed each other, on average, so fast", in_range(0.0, 1e9));
    v.field("i-own-this-host", i_own_this_host,
            "put the load on another host than this one; only for hosts of your own");
  }
};

/// Throws: Error(kInvalidArgument) for a server elsewhere without leave.
void check_load_target(const LoadOptions& options);

}  // namespace llava::serve

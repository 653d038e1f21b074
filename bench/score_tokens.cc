// SPDX-License-Identifier: Apache-2.0
//
// Writes the raw float32 logits of every position of a file of int32 token ids, in windows that
// start anew: what bench/compare/quality measures a quantised model by.
//
//   score_tokens MODEL TOKENS OUT WINDOW auto|float32|8bit|4bit [KV-TYPE]
//
// MODEL is what --model-path takes, OUT may be a pipe. Prints one line of JSON at the end.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>

#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/engine/bench/random_model.h"
#include "llava/engine/kv_pages.h"
#include "llava/engine/open_engine.h"
#include "llava/engine/pretrained.h"
#include "llava/runtime.h"

namespace llava {
namespace {

struct Request {
  engine::LoadRequest load;
  std::string tokens_file, out_file;
  int32_t window = 0;
  std::string kv = "auto";
};

Request parse(int argc, char** argv) {
  if (argc < 6 || argc > 7) {
    fail(ErrorCode::kInvalidArgument,
         "usage: score_tokens MODEL TOKENS OUT WINDOW auto|float32|8bit|4bit [KV-TYPE]");
  }
  Request request;
  request.load.model_path = argv[1];
  request.tokens_file = argv[2];
  request.out_file = argv[3];
  request.window = std::atoi(argv[4]);
  const std::string_view form = argv[5];
  request.load.load_8bit = form == "8bit";
  request.load.load_4bit = form == "4bit";
  if (form == "float32") request.load.dtype = form;
  if (argc == 7) request.kv = argv[6];
  if (request.window < 1 ||
      (form != "auto" && form != "float32" && form != "8bit" && form != "4bit")) {
    fail(ErrorCode::kInvalidArgument, "window '{}' or form '{}' cannot be", argv[4], form);
  }
  return request;
}

std::vector<int32_t> read_ids(const std::string& path, int32_t bound) {
  const std::string bytes = read_file(path, uint64_t{1} << 30);
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  for (const int32_t id : ids) {
    if (id < 0 || id >= bound) fail(ErrorCode::kBadFormat, "{}: id {} of {}", path, id, bound);
  }
  return ids;
}

void score(Context& ctx, const engine::Pretrained& pretrained, const Request& request) {
  const model::LlavaModel& model = *pretrained.model;
  const auto ids = read_ids(request.tokens_file, model.config.decoder.vocab_size);
  constexpr int32_t kPageSize = 16;
  std::vector<int32_t> pages(static_cast<std::size_t>(request.window / kPageSize + 1));
  std::iota(pages.begin(), pages.end(), 0);
  engine::KvPages cache(ctx, model.config.decoder, engine::choose_kv_dtype(model, request.kv),
                        static_cast<int32_t>(pages.size()), kPageSize);
  std::ofstream out(request.out_file, std::ios::binary);
  const auto window = static_cast<std::size_t>(request.window);
  for (std::size_t begin = 0; begin < ids.size(); begin += window) {
    const std::span part = std::span(ids).subspan(begin, std::min(window, ids.size() - begin));
    const SequenceSlice slice{.first_token = 0,
                              .num_tokens = static_cast<int32_t>(part.size()),
                              .num_past = 0,
                              .pages = pages};
    std::vector<int32_t> positions(part.size());
    std::iota(positions.begin(), positions.end(), 0);
    KvCacheView view = cache.view();
    const Tensor hidden =
        model.decode(ctx, model.embed(ctx, part, Tensor(), {}), positions, {&slice, 1}, &view);
    const Tensor logits = host_to_float32(ops::to_host(ctx, model.logits(ctx, hidden)));
    out.write(reinterpret_cast<const char*>(logits.bytes().data()),
              static_cast<std::streamsize>(logits.bytes().size()));
  }
  out.close();
  if (!out) fail(ErrorCode::kUnavailable, "cannot write '{}'", request.out_file);
  OrderedJson json;
  json["tokens"] = ids.size();
  json["vocabulary"] = model.config.decoder.vocab_size;
  json["num_parameters"] = engine::parameter_count(model);
  json["weight_bytes"] = engine::parameter_bytes(model);
  fmt::print("{}\n", to_text(json));
}

}  // namespace
}  // namespace llava

int main(int argc, char** argv) {
  try {
    const llava::Request request = llava::parse(argc, argv);
    llava::Runtime runtime({});
    llava::Context ctx = runtime.context();
    const llava::engine::Pretrained pretrained = llava::engine::load_pretrained(ctx, request.load);
    llava::score(ctx, pretrained, request);
    return 0;
  } catch (const llava::Error& error) {
    fmt::print(stderr, "score_tokens: {}\n", error.what());
    return llava::exit_status(error.code());
  }
}

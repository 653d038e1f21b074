// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parallel/parallel_runner.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/engine/parallel/step_message.h"

namespace llava::engine {
namespace {

std::vector<int32_t> to_vector(std::span<const int32_t> values) {
  return {values.begin(), values.end()};
}

std::span<const float> as_floats(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

// Features of a rank's share of a picture's tiles, as bytes on the host; none of none. The first
// ranks have one tile more where they do not divide.
std::vector<std::byte> encode_share(Context& ctx, const model::LlavaModel& model,
                                    const Tensor& pixels_ICHW, const model::ModelShare& share) {
  const auto bound = [&](int64_t rank) {
    return (pixels_ICHW.dim(0) * rank + share.num_ranks - 1) / share.num_ranks;
  };
  const int64_t begin = bound(share.rank);
  const int64_t end = bound(share.rank + 1);
  if (begin == end) return {};
  const Tensor host = ops::to_host(ctx, model.encode_tiles(ctx, pixels_ICHW.rows(begin, end)));
  const auto bytes = host.bytes();
  return {bytes.begin(), bytes.end()};
}

}  // namespace

ParallelRunner::ParallelRunner(const Context& ctx, const model::LlavaModel& model,
                               const RunnerMemory& memory, LeadingRank& ranks)
    : ctx_(ctx), model_(model), ranks_(ranks) {
  ranks_.together({{"do", "open"},
                   {"kv_dtype", std::string(dtype_name(memory.kv_dtype))},
                   {"num_pages", memory.num_pages},
                   {"page_size", memory.page_size}},
                  {}, [&] {
                    own_ = std::make_unique<ModelRunner>(ctx, model, memory.kv_dtype,
                                                         memory.num_pages, memory.page_size);
                  });
}

void ParallelRunner::give_features(uint64_t image, int32_t num_tokens,
                                   std::span<const std::byte> bytes) {
  try {
    ranks_.together({{"do", "put_features"}, {"image", image}, {"num_tokens", num_tokens}}, bytes,
                    [] {});
  } catch (...) {
    drop(image);
    throw;
  }
}

void ParallelRunner::encode(uint64_t image, const PreparedImage& picture) {
  if (ranks_.shares_tiles() && picture.pixels_ICHW.dim(0) > 1) {
    own_->put_features(
        image, model_.merge_tiles(ctx_, encode_tiles(picture.pixels_ICHW), {&picture.layout, 1}));
  } else {
    own_->encode(image, picture);
  }
  give_features(image, picture.layout.num_tokens, own_->read_features(image));
}

Tensor ParallelRunner::encode_tiles(const Tensor& pixels_ICHW) {
  std::vector<std::byte> features;
  const auto results =
      ranks_.together({{"do", "encode_tiles"}, {"shape", pixels_ICHW.shape()}}, pixels_ICHW.bytes(),
                      [&] { features = encode_share(ctx_, model_, pixels_ICHW, ranks_.share()); });
  for (const std::vector<std::byte>& result : results) {
    features.insert(features.end(), result.begin(), result.end());
  }
  const int64_t width = model_.config.decoder.hidden_size;
  const int64_t num_tiles = pixels_ICHW.dim(0);
  const int64_t num_rows =
      static_cast<int64_t>(features.size()) / (num_tiles * tensor_bytes({width}, model_.dtype()));
  Tensor host = Tensor::empty({num_tiles, num_rows, width}, model_.dtype());
  LLAVA_CHECK(static_cast<int64_t>(features.size()) == host.num_bytes(),
              "features of {} bytes for {} tiles", features.size(), num_tiles);
  std::memcpy(host.mutable_bytes().data(), features.data(), features.size());
  return ops::from_host(ctx_, host);
}

bool ParallelRunner::put_features(uint64_t image, const PreparedImage& picture,
                                  std::span<const std::byte> bytes) {
  if (!own_->put_features(image, picture, bytes)) return false;
  give_features(image, picture.layout.num_tokens, bytes);
  return true;
}

std::vector<float> ParallelRunner::embed_text(std::span<const int32_t> ids) {
  std::vector<float> embedding;
  ranks_.together({{"do", "embed_text"}, {"ids", to_vector(ids)}}, {},
                  [&] { embedding = own_->embed_text(ids); });
  return embedding;
}

void ParallelRunner::drop(uint64_t image) {
  ranks_.together({{"do", "drop"}, {"image", image}}, {}, [&] { own_->drop(image); });
}

void ParallelRunner::drop_all() noexcept {
  try {
    ranks_.together({{"do", "drop_all"}}, {}, [&] { own_->drop_all(); });
  } catch (...) {
    // A rank that is gone ends the program.
    own_->drop_all();
  }
}

void ParallelRunner::read_pages(std::span<const int32_t> pages, std::span<std::byte> out) {
  const std::size_t share = out.size() / static_cast<std::size_t>(ranks_.size());
  const auto results = ranks_.together({{"do", "read_pages"}, {"pages", to_vector(pages)}}, {},
                                       [&] { own_->read_pages(pages, out.first(share)); });
  for (const std::vector<std::byte>& result : results) {
    out = out.subspan(share);
    LLAVA_CHECK(result.size() == share, "pages of {} bytes, expected {}", result.size(), share);
    std::memcpy(out.data(), result.data(), share);
  }
}

void ParallelRunner::write_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes) {
  const std::size_t share = bytes.size() / static_cast<std::size_t>(ranks_.size());
  ranks_.together({{"do", "write_pages"}, {"pages", to_vector(pages)}}, bytes,
                  [&] { own_->write_pages(pages, bytes.first(share)); });
}

void ParallelRunner::run(const StepPlan& plan, StepLogits& logits) {
  const auto results = ranks_.together({{"do", "run"}, {"plan", to_json(plan)}}, {},
                                       [&] { own_->run(plan, own_logits_); });
  // Maps are means over heads, and every rank has as many.
  logits.maps = own_logits_.maps;
  const std::size_t num_maps = logits.maps.size();
  const std::size_t num_rows =
      own_logits_.values.size() / static_cast<std::size_t>(own_logits_.vocab_size);
  logits.vocab_size = model_.config.decoder.vocab_size;
  logits.values.resize(num_rows * static_cast<std::size_t>(logits.vocab_size));
  std::size_t column = 0;
  const auto put_columns = [&](std::span<const float> part) {
    const std::size_t width = num_rows == 0 ? 0 : part.size() / num_rows;
    LLAVA_CHECK(part.size() == width * num_rows &&
                    column + width <= static_cast<std::size_t>(logits.vocab_size),
                "{} logits of {} rows from column {}", part.size(), num_rows, column);
    for (std::size_t row = 0; row < num_rows; ++row) {
      std::ranges::copy(
          part.subspan(row * width, width),
          logits.row(static_cast<int64_t>(row)).begin() + static_cast<std::ptrdiff_t>(column));
    }
    column += width;
  };
  put_columns(own_logits_.values);
  for (const std::vector<std::byte>& result : results) {
    const std::span<const float> values = as_floats(result);
    LLAVA_CHECK(values.size() >= num_maps);
    for (std::size_t i = 0; i < num_maps; ++i) logits.maps[i] += values[i];
    put_columns(values.subspan(num_maps));
  }
  LLAVA_CHECK(num_rows == 0 || column == static_cast<std::size_t>(logits.vocab_size),
              "logits of {} tokens of {}", column, logits.vocab_size);
  for (float& value : logits.maps) value /= static_cast<float>(ranks_.size());
}

void follow_leader(const Context& ctx, const model::LlavaModel& model, std::string_view name,
                   FollowingRank& rank) {
  Context own = ctx;
  std::unique_ptr<ModelRunner> runner;
  StepLogits logits;
  rank.follow(name, [&](const RankCommand& command) {
    const Json& what = command.what;
    const auto action = what.at("do").get<std::string>();
    std::vector<std::byte> result;
    if (action == "open") {
      const auto dtype = dtype_from_name(what.at("kv_dtype").get<std::string>());
      LLAVA_CHECK(dtype.has_value());
      runner.reset();
      runner =
          std::make_unique<ModelRunner>(ctx, model, *dtype, what.at("num_pages").get<int32_t>(),
                                        what.at("page_size").get<int32_t>());
      return result;
    }
    LLAVA_CHECK(runner != nullptr, "command '{}' before 'open'", action);
    if (action == "run") {
      runner->run(step_from_json(what.at("plan")), logits);
      const auto maps = std::as_bytes(std::span(logits.maps));
      const auto values = std::as_bytes(std::span(logits.values));
      result.reserve(maps.size() + values.size());
      result.assign(maps.begin(), maps.end());
      result.insert(result.end(), values.begin(), values.end());
    } else if (action == "encode_tiles") {
      Tensor pixels = Tensor::empty(what.at("shape").get<Shape>(), DType::kFloat32);
      LLAVA_CHECK(pixels.bytes().size() == command.payload.size());
      std::memcpy(pixels.mutable_bytes().data(), command.payload.data(), command.payload.size());
      result = encode_share(own, model, pixels, rank.share());
    } else if (action == "put_features") {
      PreparedImage picture;
      picture.layout.num_tokens = what.at("num_tokens").get<int32_t>();
      LLAVA_CHECK(runner->put_features(what.at("image").get<uint64_t>(), picture, command.payload),
                  "features of {} bytes for {} tokens", command.payload.size(),
                  picture.layout.num_tokens);
    } else if (action == "drop") {
      runner->drop(what.at("image").get<uint64_t>());
    } else if (action == "drop_all") {
      runner->drop_all();
    } else if (action == "embed_text") {
      runner->embed_text(what.at("ids").get<std::vector<int32_t>>());
    } else if (action == "read_pages") {
      const auto pages = what.at("pages").get<std::vector<int32_t>>();
      result.resize(static_cast<std::size_t>(runner->page_bytes()) * pages.size());
      runner->read_pages(pages, result);
    } else if (action == "write_pages") {
      const auto pages = what.at("pages").get<std::vector<int32_t>>();
      const std::size_t share = static_cast<std::size_t>(runner->page_bytes()) * pages.size();
      const std::size_t begin = share * static_cast<std::size_t>(rank.share().rank);
      LLAVA_CHECK(begin + share <= command.payload.size());
      runner->write_pages(pages, std::span(command.payload).subspan(begin, share));
    } else {
      fail(ErrorCode::kInternal, "a rank was told to do '{}'", action);
    }
    return result;
  });
}

}  // namespace llava::engine

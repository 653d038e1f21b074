// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/model_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cstdint>
#include <vector>

#include "llava/core/hash.h"
#include "llava/core/thread_pool.h"
#include "llava/core/version.h"

namespace llava::engine {
namespace {

// A tensor is hashed in pieces of this size, by whichever thread is free.
constexpr std::size_t kPieceBytes = std::size_t{8} << 20;

std::string digest_of(Context& ctx, const Tensor& tensor) {
  const Tensor host = ops::to_host(ctx, tensor);
  const auto bytes = host.bytes();
  const auto num_pieces = static_cast<int64_t>((bytes.size() + kPieceBytes - 1) / kPieceBytes);
  std::vector<Sha256> digests(static_cast<std::size_t>(num_pieces));
  const auto hash_piece = [&](int64_t index) {
    const auto begin = static_cast<std::size_t>(index) * kPieceBytes;
    digests[static_cast<std::size_t>(index)] =
        sha256(bytes.subspan(begin, std::min(kPieceBytes, bytes.size() - begin)));
  };
  if (ctx.pool != nullptr) {
    ctx.pool->run(num_pieces, hash_piece);
  } else {
    for (int64_t i = 0; i < num_pieces; ++i) hash_piece(i);
  }
  return to_hex(sha256(std::as_bytes(std::span(digests))));
}

// Numbers by their bits: two constants that print alike may differ.
uint64_t bits(double value) { return std::bit_cast<uint64_t>(value); }

// The bindings name every member, so that a new one cannot be left out.
std::string text_of(const model::DecoderConfig& config) {
  const auto& [family, vocab, hidden, intermediate, layers, heads, kv_heads, head_dim, positions,
               eps, rope, qkv_bias, output_bias, tied, window] = config;
  const auto& [theta, scaling, factor, low, high, original] = rope;
  return fmt::format(
      "decoder {} {} {} {} {} {} {} {} {} {:x} {} {} {} {}; rope {:x} {} {:x} {:x} {:x} {}",
      static_cast<int>(family), vocab, hidden, intermediate, layers, heads, kv_heads, head_dim,
      positions, bits(eps), qkv_bias, output_bias, tied, window, bits(theta),
      static_cast<int>(scaling), bits(factor), bits(low), bits(high), original);
}

std::string text_of(const model::VisionConfig& config) {
  const auto& [hidden, intermediate, layers, heads, channels, image, patch, eps, activation] =
      config;
  return fmt::format("vision {} {} {} {} {} {} {} {:x} {}", hidden, intermediate, layers, heads,
                     channels, image, patch, bits(eps), static_cast<int>(activation));
}

std::string text_of(const model::ProjectorConfig& config) {
  const auto& [type, depth, bias, activation] = config;
  return fmt::format("projector {} {} {} {}", static_cast<int>(type), depth, bias,
                     static_cast<int>(activation));
}

bool is_of_vision(const std::string& name) {
  return name.starts_with("model.vision_tower.") || name.starts_with("model.mm_projector") ||
         name == "model.image_newline";
}

}  // namespace

ModelIdentity identify_model(Context& ctx, model::LlavaModel& model) {
  // The geometry of pictures is part of their recipe (picture_recipe.h).
  const auto& [decoder, has_vision, vision, projector, layers, geometry, has_newline] =
      model.config;
  const std::string program =
      fmt::format("llava {} {}; {} on device type {}", kVersion, kRevision, ctx.backend.name(),
                  static_cast<int>(ctx.backend.device().type));
  std::string of_vision = fmt::format(
      "{}; {} {}; {}; layers {} {}; computed as {}", program, has_vision, text_of(vision),
      text_of(projector), fmt::join(layers, ","), has_newline, static_cast<int>(model.dtype()));
  std::string of_decoder = program + "; " + text_of(decoder);
  const auto add = [&](const std::string& name, const Tensor& tensor, const std::string& fact) {
    if (!tensor.is_defined()) return;
    (is_of_vision(name) ? of_vision : of_decoder) +=
        fmt::format("\n{} {} {} {} {}", name, dtype_name(tensor.dtype()), to_text(tensor.shape()),
                    digest_of(ctx, tensor), fact);
  };
  const model::Visitor visitor{
      .on_parameter = [&](const std::string& name,
                          model::Parameter& parameter) { add(name, parameter.value, ""); },
      .on_linear =
          [&](const std::string& name, model::Linear& linear) {
            for (const model::LoraAdapter& adapter : linear.adapters) {
              const std::string scale = fmt::format("scale {:x}", bits(adapter.scale));
              add(name + ".lora_A", adapter.a_RI, scale);
              add(name + ".lora_B", adapter.b_OR, scale);
            }
          }};
  model::visit(model, visitor);
  const auto hash = [](const std::string& text) {
    return to_hex(sha256(std::as_bytes(std::span(text))));
  };
  const std::string features = hash(of_vision);
  return {.features = features, .prefixes = hash(of_decoder + "\n" + features)};
}

}  // namespace llava::engine

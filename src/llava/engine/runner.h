// SPDX-License-Identifier: Apache-2.0
//
// What the engine needs of a model: pictures encoded and steps carried out. The real one is
// ModelRunner; tests use one that computes logits from the symbols alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llava/engine/prepared_image.h"
#include "llava/engine/step_plan.h"

namespace llava::engine {

/// Float32 logits of one step, a row for every wanted position in the plan's order; for items that
/// look, rows of their maps.
struct StepLogits {
  int32_t vocab_size = 0;
  std::vector<float> values;
  std::vector<float> maps;

  std::span<float> row(int64_t index) {
    return std::span(values).subspan(
        static_cast<std::size_t>(index) * static_cast<std::size_t>(vocab_size),
        static_cast<std::size_t>(vocab_size));
  }
};

/// What of a picture makes its embedding.
enum class PicturePooling : uint8_t {
  kClassToken,  ///< the tower's class token
  kMean,        ///< the mean of the tower's patches
  kProjected,   ///< the mean of what the projector makes of them, as wide as the language model
};

/// Threads: the engine's thread alone.
class Runner {
 public:
  virtual ~Runner() = default;

  /// Computes a picture's features and keeps them under its number until it is dropped.
  ///
  /// Throws: Error(kResourceExhausted) when the memory is not to be had; nothing is kept then.
  virtual void encode(uint64_t image, const PreparedImage& picture) = 0;
  /// One vector for a picture: of its first tile, which shows all of it.
  virtual std::vector<float> embed_picture(const PreparedImage& picture,
                                           PicturePooling pooling) = 0;
  /// One vector for a text: the mean of the language model's last hidden states.
  virtual std::vector<float> embed_text(std::span<const int32_t> ids) = 0;
  /// Forgets a picture's features; unknown numbers are ignored.
  virtual void drop(uint64_t image) = 0;
  /// Forgets all pictures' features.
  virtual void drop_all() noexcept = 0;

  /// A picture's features as bytes, for put_features of a runner of the same model.
  virtual std::vector<std::byte> read_features(uint64_t image) = 0;
  /// Keeps features that were read before as a picture's; false when they are not what this picture
  /// has.
  virtual bool put_features(uint64_t image, const PreparedImage& picture,
                            std::span<const std::byte> bytes) = 0;

  /// Bytes of a page's keys and values.
  virtual int64_t page_bytes() const = 0;
  /// Copies the keys and values of whole pages to `out`, page_bytes() for each.
  virtual void read_pages(std::span<const int32_t> pages, std::span<std::byte> out) = 0;
  /// Fills pages with what was read before, from as many pages in this order.
  virtual void write_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes) = 0;

  /// Layers of the language model, which a look may be at.
  virtual int32_t num_layers() const = 0;

  /// Copies pages, then runs all items of the plan as one batch and writes their keys and values.
  ///
  /// Throws: Error(kResourceExhausted), std::bad_alloc. The pages' contents from num_past on are
  /// then unspecified and what was below is untouched, so the step can be tried again.
  virtual void run(const StepPlan& plan, StepLogits& logits) = 0;
};

}  // namespace llava::engine

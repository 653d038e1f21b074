// SPDX-License-Identifier: Apache-2.0
//
// A Runner without tensors: pages hold the symbols themselves, and the logits of a position are a
// hash of every symbol up to it as read through the page table. A wrong page, a page freed too
// early or a picture that was not encoded therefore changes the answer or is caught here. A
// picture's features are its key, which stands in the pages for its number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <vector>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/engine/runner.h"

namespace llava::engine {

/// Hash of a symbol sequence, position by position.
inline uint64_t extend_hash(uint64_t hash, const Symbol& symbol) {
  for (const uint64_t word : {symbol.image, static_cast<uint64_t>(symbol.value) + 1}) {
    hash ^= word + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    hash *= 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 29;
  }
  return hash;
}

/// Logits that follow a prefix with this hash.
inline void hash_logits(uint64_t hash, std::span<float> row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    uint64_t x = hash + 0x9e3779b97f4a7c15u * (i + 1);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    row[i] = static_cast<float>((x ^ (x >> 31)) >> 40) * (8.0f / 16777216.0f);
  }
}

/// What stands for a picture in the pages.
inline uint64_t fake_features(const ImageKey& key) {
  uint64_t word = 0;
  std::memcpy(&word, key.digest.data(), sizeof(word));
  return word + 1;
}

/// Where the last position of a prefix looks: numbers that depend on all of it, the layer and what
/// is looked at.
inline void add_fake_look(const LookQuery& look, std::span<const Symbol> prefix,
                          std::vector<float>& map) {
  uint64_t hash = static_cast<uint64_t>(look.layer + 2);
  for (const Symbol& symbol : prefix) hash = extend_hash(hash, symbol);
  for (const model::PositionRange& range : look.ranges) {
    for (int32_t i = range.begin; i < range.end; ++i) {
      const uint64_t word = extend_hash(hash, prefix[static_cast<std::size_t>(i)]);
      map.push_back(static_cast<float>(word >> 40) / 16777216.0f);
    }
  }
}

class FakeRunner final : public Runner {
 public:
  FakeRunner(int32_t num_pages, int32_t page_size, int32_t vocab_size)
      : page_size_(page_size),
        vocab_size_(vocab_size),
        cells_(static_cast<std::size_t>(num_pages) * static_cast<std::size_t>(page_size)) {}

  void encode(uint64_t image, const PreparedImage& picture) override {
    if (on_encode) on_encode(image);
    LLAVA_CHECK(features_.emplace(image, fake_features(picture.key)).second,
                "picture {} is encoded twice", image);
    ++num_encoded;
  }
  std::vector<float> embed_picture(const PreparedImage& picture, PicturePooling) override {
    return {static_cast<float>(fake_features(picture.key) % 1000)};
  }
  std::vector<float> embed_text(std::span<const int32_t> ids) override {
    return {static_cast<float>(ids.size())};
  }
  void drop(uint64_t image) override { features_.erase(image); }
  void drop_all() noexcept override { features_.clear(); }

  std::vector<std::byte> read_features(uint64_t image) override {
    const auto bytes = std::as_bytes(std::span(&features_.at(image), 1));
    return {bytes.begin(), bytes.end()};
  }
  bool put_features(uint64_t image, const PreparedImage&,
                    std::span<const std::byte> bytes) override {
    uint64_t features = 0;
    if (bytes.size() != sizeof(features)) return false;
    std::memcpy(&features, bytes.data(), bytes.size());
    LLAVA_CHECK(features_.emplace(image, features).second, "picture {} is there", image);
    return true;
  }

  int64_t page_bytes() const override { return page_size_ * int64_t{sizeof(Cell)}; }
  void read_pages(std::span<const int32_t> pages, std::span<std::byte> out) override {
    for (const int32_t page : pages) {
      for (int32_t i = 0; i < page_size_; ++i) {
        const Symbol symbol = cell(page, i).value();
        const Cell bytes{.image = symbol.image, .value = symbol.value};
        std::memcpy(out.data(), &bytes, sizeof(bytes));
        out = out.subspan(sizeof(bytes));
      }
    }
  }
  void write_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes) override {
    for (const int32_t page : pages) {
      for (int32_t i = 0; i < page_size_; ++i) {
        Cell read;
        std::memcpy(&read, bytes.data(), sizeof(read));
        cell(page, i) = Symbol{.image = read.image, .value = static_cast<int32_t>(read.value)};
        bytes = bytes.subspan(sizeof(read));
      }
    }
  }

  int32_t num_layers() const override { return 4; }
  void run(const StepPlan& plan, StepLogits& logits) override {
    if (on_run) on_run(plan);
    ++num_steps;
    for (const PageCopy& copy : plan.copies) {
      for (int32_t i = 0; i < copy.num_tokens; ++i) cell(copy.to, i) = cell(copy.from, i);
    }
    check_writes_are_exclusive(plan);
    for (const StepItem& item : plan.items) {
      for (std::size_t i = 0; i < item.symbols.size(); ++i) {
        Symbol symbol = item.symbols[i];
        if (symbol.image != 0) {
          const auto features = features_.find(symbol.image);
          LLAVA_CHECK(features != features_.end(), "picture {} is not encoded", symbol.image);
          symbol.image = features->second;
        }
        at(item, item.num_past + static_cast<int32_t>(i)) = symbol;
        ++num_tokens;
      }
    }
    logits.vocab_size = vocab_size_;
    logits.values.clear();
    logits.maps.clear();
    for (const StepItem& item : plan.items) {
      uint64_t hash = 1;
      std::vector<Symbol> prefix;
      const auto end = item.num_past + static_cast<int32_t>(item.symbols.size());
      for (int32_t position = 0; position < end; ++position) {
        const std::optional<Symbol>& symbol = at(item, position);
        LLAVA_CHECK(symbol.has_value(), "position {} was never written", position);
        hash = extend_hash(hash, *symbol);
        prefix.push_back(*symbol);
        if (position < item.num_past + item.first_logits) continue;
        if (item.look) {
          add_fake_look(*item.look, prefix, logits.maps);
          if (spoils_look && spoils_look(prefix)) {
            logits.maps.back() = std::numeric_limits<float>::quiet_NaN();
          }
          continue;
        }
        const std::size_t begin = logits.values.size();
        logits.values.resize(begin + static_cast<std::size_t>(vocab_size_));
        const auto row = std::span(logits.values).subspan(begin);
        if (rule) {
          rule(prefix, row);
        } else {
          hash_logits(hash, row);
        }
      }
    }
  }

  /// Logits that follow a prefix, instead of its hash; the row is all zeros.
  std::function<void(std::span<const Symbol> prefix, std::span<float> row)> rule;
  /// Whether the map of a prefix is not all numbers.
  std::function<bool(std::span<const Symbol> prefix)> spoils_look;
  /// Called before the work; may throw.
  std::function<void(uint64_t image)> on_encode;
  std::function<void(const StepPlan& plan)> on_run;
  int64_t num_encoded = 0;
  int64_t num_steps = 0;
  int64_t num_tokens = 0;

 private:
  // What a position's keys and values are as bytes.
  struct Cell {
    uint64_t image = 0;
    int64_t value = 0;
  };

  std::optional<Symbol>& cell(int32_t page, int32_t index) {
    return cells_.at(static_cast<std::size_t>(page) * static_cast<std::size_t>(page_size_) +
                     static_cast<std::size_t>(index));
  }
  std::optional<Symbol>& at(const StepItem& item, int32_t position) {
    return cell(item.pages.at(static_cast<std::size_t>(position / page_size_)),
                position % page_size_);
  }

  // Nobody may write where another sequence of the step reads or writes.
  void check_writes_are_exclusive(const StepPlan& plan) {
    std::set<int32_t> written;
    for (const StepItem& item : plan.items) {
      for (std::size_t i = 0; i < item.symbols.size(); ++i) {
        const int32_t position = item.num_past + static_cast<int32_t>(i);
        const int32_t page = item.pages.at(static_cast<std::size_t>(position / page_size_));
        LLAVA_CHECK(written.insert(page * page_size_ + position % page_size_).second,
                    "two sequences write position {} of page {}", position % page_size_, page);
      }
    }
    for (const StepItem& item : plan.items) {
      for (int32_t position = 0; position < item.num_past; ++position) {
        const int32_t page = item.pages.at(static_cast<std::size_t>(position / page_size_));
        LLAVA_CHECK(!written.contains(page * page_size_ + position % page_size_),
                    "page {} is written while another sequence reads it", page);
      }
    }
  }

  int32_t page_size_;
  int32_t vocab_size_;
  std::vector<std::optional<Symbol>> cells_;
  std::map<uint64_t, uint64_t> features_;
};

}  // namespace llava::engine

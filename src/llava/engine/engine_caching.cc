// SPDX-License-Identifier: Apache-2.0
//
// What the engine keeps beyond a request: prefixes that are pinned under a name, and, where there
// is a cache on disk, pictures' features and pinned keys and values across restarts.
#include <algorithm>
#include <exception>
#include <functional>
#include <future>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/cache_keys.h"
#include "llava/engine/engine_loop.h"

namespace llava::engine {
namespace {

constexpr std::size_t kMaxNameBytes = 128;

// The caches never fail a request: it goes on as if they had nothing.
void warn(std::string_view event, const std::exception& error) {
  log_warning(event, {{"reason", error.what()}});
}

}  // namespace

// --- Pins -----------------------------------------------------------------------------------

int32_t EngineLoop::tokens_to_pin(const GenerationRequest& request) const {
  auto end = static_cast<int32_t>(request.prompt.ids.size());
  if (!request.prompt.images.empty()) {
    end = request.prompt.images.back().offset + request.prompt.images.back().num_tokens;
  }
  return end - end % config_.scheduler.page_size;
}

void EngineLoop::check_pin(const GenerationRequest& request) const {
  const std::string& name = request.pin;
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (name.size() > kMaxNameBytes || std::ranges::any_of(name, is_control)) {
    fail(ErrorCode::kInvalidArgument,
         "a pin's name has {} bytes, expected at most {} and no control characters", name.size(),
         kMaxNameBytes);
  }
  if (config_.scheduler.prefix_cache != "on") {
    fail(ErrorCode::kInvalidArgument, "'{}' cannot be pinned while prefix-cache is off", name);
  }
  if (tokens_to_pin(request) == 0) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' cannot be pinned: the prompt is shorter than a page of the KV cache, {} tokens",
         name, config_.scheduler.page_size);
  }
}

int32_t EngineLoop::pages_with_pin(const GenerationRequest& request,
                                   std::span<const Symbol> symbols) const {
  const auto pinned = symbols.first(static_cast<std::size_t>(tokens_to_pin(request)));
  return scheduler_->tree().num_pages_if_pinned(request.pin, request.cache_salt, pinned);
}

std::exception_ptr EngineLoop::find_no_room(const GenerationRequest& request,
                                            std::span<const Symbol> symbols) const {
  const PrefixTree& tree = scheduler_->tree();
  const int32_t page_size = config_.scheduler.page_size;
  if (!request.pin.empty()) {
    const int32_t num_pages = pages_with_pin(request, symbols);
    if (num_pages > scheduler_->max_pinned_pages()) {
      return std::make_exception_ptr(Error(
          ErrorCode::kResourceExhausted,
          fmt::format("with the {} tokens of '{}' pins would hold {} tokens of the KV cache, but "
                      "they may hold {} of its {}: unpin something or give the cache more memory",
                      tokens_to_pin(request), request.pin, int64_t{num_pages} * page_size,
                      int64_t{scheduler_->max_pinned_pages()} * page_size, capacity_tokens())));
    }
  }
  if (tree.pins().empty()) return nullptr;
  // Pages beside the pinned ones, of which the prompt may share some.
  const int32_t with_pins = tree.num_pages_if_pinned("", request.cache_salt, symbols);
  const bool has_rest = symbols.size() % static_cast<std::size_t>(page_size) > 0;
  if (with_pins + (has_rest ? 1 : 0) <= memory_.num_pages) return nullptr;
  return std::make_exception_ptr(
      Error(ErrorCode::kInvalidArgument,
            fmt::format("the prompt has {} tokens, but the KV cache holds {} and {} of them are "
                        "pinned: unpin something or give the cache more memory",
                        symbols.size(), capacity_tokens(),
                        int64_t{tree.num_pages_if_pinned("", "", {})} * page_size)));
}

std::optional<EngineLoop::PinToStore> EngineLoop::pin(Active& active) {
  active.is_pinned = true;
  const GenerationRequest& request = active.request;
  const int32_t num_tokens = tokens_to_pin(request);
  if (!scheduler_->pin(active.root, request.pin, num_tokens)) {
    log_warning("pin_not_held", {{"name", request.pin}, {"reason", "pins hold what they may"}});
    return std::nullopt;
  }
  if (!cache_) return std::nullopt;
  try {
    std::vector<ImageKey> images;
    for (const text::ImageSpan& span : request.prompt.images) {
      images.push_back(request.images[static_cast<std::size_t>(span.image)].key);
    }
    std::string key =
        prefix_key(cache_->identity().prefixes, request, num_tokens, config_.scheduler.page_size);
    PinRecord record = cache_->record_of(key, num_tokens, std::move(images));
    const bool has_content = cache_->has_prefix(key);
    if (has_content && cache_->has_record(request.pin, record)) return std::nullopt;
    std::vector<int32_t> pages;
    std::vector<Symbol> symbols;
    if (!has_content) {
      scheduler_->tree().collect(*scheduler_->tree().find_pin(request.pin), symbols, pages);
    }
    return PinToStore{.name = request.pin,
                      .record = std::move(record),
                      .key = std::move(key),
                      .pages = std::move(pages)};
  } catch (const std::exception& error) {
    warn("pin_not_stored", error);
    return std::nullopt;
  }
}

void EngineLoop::store(PinToStore pin) {
  try {
    std::vector<std::byte> bytes(static_cast<std::size_t>(runner_->page_bytes()) *
                                 pin.pages.size());
    runner_->read_pages(pin.pages, bytes);
    cache_->store_pin(pin.name, std::move(pin.record), std::move(pin.key), std::move(bytes));
  } catch (const std::exception& error) {
    warn("pin_not_stored", error);
  }
}

template <class Function>
auto EngineLoop::on_thread(Function function) {
  using Result = decltype(function());
  const auto task = std::make_shared<std::packaged_task<Result()>>(std::move(function));
  std::future<Result> result = task->get_future();
  inbox_.post([task] { (*task)(); });
  return result.get();
}

bool EngineLoop::unpin(const std::string& name) {
  return on_thread([&] {
    const bool was_in_memory = scheduler_ && scheduler_->unpin(name);
    const bool was_on_disk = cache_ && cache_->remove_pin(name);
    publish_stats();
    return was_in_memory || was_on_disk;
  });
}

std::vector<float> EngineLoop::embed_picture(const PreparedImage& picture, PicturePooling pooling) {
  return on_thread([&] { return runner_->embed_picture(picture, pooling); });
}

std::vector<float> EngineLoop::embed_text(std::span<const int32_t> ids) {
  if (ids.empty() || std::cmp_greater(ids.size(), capacity_tokens())) {
    fail(ErrorCode::kInvalidArgument, "the text has {} tokens, expected 1 to {}", ids.size(),
         capacity_tokens());
  }
  return on_thread([&] { return runner_->embed_text(ids); });
}

void EngineLoop::drop_unused() {
  on_thread([&] {
    if (scheduler_) drop_caches();
    publish_stats();
    return 0;
  });
}

std::vector<PinInfo> EngineLoop::pins() {
  return on_thread([&] {
    std::map<std::string, PinInfo> pins;
    if (scheduler_) {
      for (const auto& [name, lock] : scheduler_->tree().pins()) {
        pins[name] = {.name = name,
                      .num_tokens = lock.num_pages * config_.scheduler.page_size,
                      .is_in_memory = true,
                      .is_on_disk = false};
      }
    }
    if (cache_) {
      for (const auto& [name, record] : cache_->pins()) {
        PinInfo& pin = pins[name];
        pin.name = name;
        pin.num_tokens = record.num_tokens;
        pin.is_on_disk = true;
      }
    }
    std::vector<PinInfo> list;
    for (auto& [name, pin] : pins) list.push_back(std::move(pin));
    return list;
  });
}

void EngineLoop::flush_cache() {
  // What was computed before is queued when the thread comes to this.
  on_thread([] { return 0; });
  if (cache_) cache_->flush();
}

// --- The cache on disk ----------------------------------------------------------------------

bool EngineLoop::restore_features(uint64_t image, const PreparedImage& picture) {
  if (!cache_) return false;
  try {
    const auto entry = cache_->find_features(picture.key);
    if (!entry || !runner_->put_features(image, picture, entry->payload)) return false;
    ++features_from_disk_;
    return true;
  } catch (const std::exception& error) {
    warn("features_not_restored", error);
    return false;
  }
}

void EngineLoop::store_features(uint64_t image, const PreparedImage& picture, bool is_pinned) {
  if (!cache_) return;
  try {
    cache_->store_features(picture.key, runner_->read_features(image),
                           is_pinned ? Keep::kKept : Keep::kOrdinary);
  } catch (const std::exception& error) {
    warn("features_not_stored", error);
  }
}

// Prefixes are stored under their whole content, so a prompt finds them by its own: whatever ends
// with one of its pictures may be there, and what its pin's name stands for.
std::vector<int32_t> EngineLoop::lengths_to_restore(const GenerationRequest& request) const {
  const auto num_tokens = static_cast<int32_t>(request.prompt.ids.size());
  std::vector<int32_t> lengths{tokens_to_pin(request)};
  for (const text::ImageSpan& span : request.prompt.images) {
    const int32_t end = span.offset + span.num_tokens;
    lengths.push_back(end - end % config_.scheduler.page_size);
  }
  if (!request.pin.empty()) {
    const auto record = cache_->find_pin(request.pin);
    if (record && record->num_tokens <= num_tokens &&
        record->num_tokens % config_.scheduler.page_size == 0) {
      lengths.push_back(record->num_tokens);
    }
  }
  std::ranges::sort(lengths, std::greater());
  lengths.erase(std::ranges::unique(lengths).begin(), lengths.end());
  return lengths;
}

void EngineLoop::restore_prefix(const GenerationRequest& request, std::span<const Symbol> symbols) {
  if (!cache_ || config_.scheduler.prefix_cache != "on") return;
  const int32_t num_cached = scheduler_->tree().peek(request.cache_salt, symbols);
  for (const int32_t length : lengths_to_restore(request)) {
    if (length <= num_cached) return;
    const int32_t num_pages = length / config_.scheduler.page_size;
    const auto entry = find_prefix(
        prefix_key(cache_->identity().prefixes, request, length, config_.scheduler.page_size),
        num_pages);
    if (!entry) continue;
    // Outside of any try: the scheduler is whole or the engine starts over.
    std::vector<int32_t> pages = scheduler_->take_pages(num_pages);
    if (pages.empty()) return;
    if (!fill_pages(pages, entry->payload)) {
      scheduler_->return_pages(pages);
      return;
    }
    scheduler_->adopt_pages(request.cache_salt, symbols.first(static_cast<std::size_t>(length)),
                            std::move(pages));
    ++prefixes_from_disk_;
    return;
  }
}

std::optional<DiskEntry> EngineLoop::find_prefix(const std::string& key, int32_t num_pages) {
  try {
    auto entry = cache_->find_prefix(key);
    if (!entry) return std::nullopt;
    const auto num_bytes = static_cast<int64_t>(entry->payload.size());
    if (num_bytes == runner_->page_bytes() * num_pages) return entry;
    log_warning("prefix_not_restored", {{"file", entry->file->path().string()},
                                        {"bytes", num_bytes},
                                        {"expected", runner_->page_bytes() * num_pages}});
    cache_->remove(key);
  } catch (const std::exception& error) {
    warn("prefix_not_restored", error);
  }
  return std::nullopt;
}

bool EngineLoop::fill_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes) {
  try {
    runner_->write_pages(pages, bytes);
    return true;
  } catch (const std::exception& error) {
    warn("prefix_not_restored", error);
    return false;
  }
}

}  // namespace llava::engine

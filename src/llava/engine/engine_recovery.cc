// SPDX-License-Identifier: Apache-2.0
//
// What the engine does when something fails: it makes room and tries again, fails the request at
// fault and no other, and starts over when its own state may be wrong.
#include <algorithm>
#include <new>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/engine_loop.h"

namespace llava::engine {

std::string reason_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown";
  }
}

std::exception_ptr as_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(
        Error(ErrorCode::kResourceExhausted,
              "out of memory while answering: show fewer or smaller pictures, or give the caches "
              "less memory"));
  } catch (...) {
    return error;
  }
}

void EngineLoop::encode_or_make_room(uint64_t image, const PreparedImage& picture) {
  try {
    runner_->encode(image, picture);
  } catch (const std::bad_alloc&) {
    make_room();
    runner_->encode(image, picture);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kResourceExhausted) throw;
    make_room();
    runner_->encode(image, picture);
  }
}

void EngineLoop::drop_shown(uint64_t image, StepPlan& plan, const std::exception_ptr& error) {
  std::vector<uint64_t> failed;
  for (const auto& [number, active] : active_) {
    if (std::ranges::find(active->image_numbers, image) != active->image_numbers.end()) {
      failed.push_back(number);
    }
  }
  for (const uint64_t number : failed) {
    std::erase_if(plan.items,
                  [&](const StepItem& item) { return owners_.at(item.sequence) == number; });
    drop(*active_.at(number), error);
    count(&EngineStats::failed);
  }
}

void EngineLoop::run_one_by_one(StepPlan& plan) {
  // Memory may have run out, or one sequence may be at fault.
  make_room();
  std::vector<StepItem> items = std::exchange(plan.items, {});
  for (StepItem& item : items) {
    Active* const active = owner_of(item.sequence);
    if (active == nullptr) continue;
    StepPlan single = std::exchange(plan, {});
    single.items.push_back(std::move(item));
    const std::exception_ptr error = try_run(single);
    if (!error) {
      deliver(single);
      continue;
    }
    single.items.clear();
    scheduler_->complete(single);
    drop(*active, error);
    count(&EngineStats::failed);
  }
}

void EngineLoop::make_room() {
  log_warning("engine_out_of_memory", {{"action", "dropping what the caches hold unused"}});
  drop_caches();
}

void EngineLoop::drop_caches() {
  for (const uint64_t image : scheduler_->free_caches()) runner_->drop(image);
}

void EngineLoop::drop(Active& active, const std::exception_ptr& error) {
  scheduler_->finish_all(active.number);
  active.stream->fail(as_error(error));
  const std::string id = std::move(active.request.id);
  forget(active);
  log_warning("request_failed", {{"id", id}, {"reason", reason_of(as_error(error))}});
}

void EngineLoop::fail_all(const std::exception_ptr& error) {
  for (const auto& [number, active] : active_) {
    if (!active->started) inbox_.leave_queue(active->request.prompt.ids.size());
    active->stream->fail(as_error(error));
    count(&EngineStats::failed);
  }
  active_.clear();
  owners_.clear();
}

void EngineLoop::reset(const std::exception_ptr& error) noexcept {
  fail_all(error);
  scheduler_.reset();
  runner_->drop_all();
  try {
    log_error("engine_reset", {{"reason", reason_of(error)}});
    open_scheduler();
  } catch (...) {
    // The next request opens one.
  }
}

}  // namespace llava::engine

// SPDX-License-Identifier: Apache-2.0
#include "llava/data/loader.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "llava/core/error.h"

namespace llava::data {
namespace {

// Batches that may wait, however little memory they take.
constexpr std::size_t kMostBatchesAhead = 64;

// One place of a batch.
struct Slot {
  int64_t index = 0;
  std::optional<Sample> sample;
  std::exception_ptr error;
};

// Batches keep their address while others come and go in the queue.
struct Batch {
  std::vector<Slot> slots;
  std::size_t num_taken = 0;
  std::size_t num_done = 0;

  bool is_complete() const { return num_done == slots.size(); }
};

void fill(SampleSource& source, Slot& slot) {
  try {
    slot.sample = source.get(slot.index);
  } catch (...) {
    slot.error = std::current_exception();
  }
}

std::vector<Sample> samples_of(SampleSource& source, Batch& batch) {
  std::vector<Sample> samples;
  samples.reserve(batch.slots.size());
  for (Slot& slot : batch.slots) {
    if (slot.error) std::rethrow_exception(slot.error);
    if (slot.sample) samples.push_back(*std::move(slot.sample));
  }
  if (samples.empty() && !batch.slots.empty()) {
    samples.push_back(source.substitute(batch.slots.front().index));
  }
  return samples;
}

}  // namespace

BatchStream stream_of(std::vector<std::vector<int64_t>> batches) {
  return [batches = std::move(batches),
          at = std::size_t{0}]() mutable -> std::optional<std::vector<int64_t>> {
    if (at == batches.size()) return std::nullopt;
    return std::move(batches[at++]);
  };
}

class Loader::Pipeline {
 public:
  Pipeline(SampleSource& source, BatchStream stream, const LoaderOptions& options)
      : source_(source), stream_(std::move(stream)), max_bytes_(options.max_bytes) {
    for (int i = 0; i < options.num_workers; ++i) {
      workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
  }

  std::optional<std::vector<Sample>> next() {
    if (is_over_) return std::nullopt;
    try {
      const std::shared_ptr<Batch> batch = workers_.empty() ? make_batch() : wait_for_batch();
      if (batch) return samples_of(source_, *batch);
    } catch (...) {
      is_over_ = true;
      throw;
    }
    is_over_ = true;
    return std::nullopt;
  }

 private:
  // Adds the stream's next batch to the queue; false when there is none.
  bool extend() {
    if (is_stream_over_) return false;
    try {
      const auto indices = stream_();
      if (!indices) {
        is_stream_over_ = true;
        return false;
      }
      auto batch = std::make_shared<Batch>();
      for (const int64_t index : *indices) batch->slots.push_back({.index = index});
      queue_.push_back(std::move(batch));
      return true;
    } catch (...) {
      stream_error_ = std::current_exception();
      is_stream_over_ = true;
      return false;
    }
  }

  std::shared_ptr<Batch> take_front() {
    if (queue_.empty()) {
      if (stream_error_) std::rethrow_exception(std::exchange(stream_error_, nullptr));
      return nullptr;
    }
    std::shared_ptr<Batch> batch = std::move(queue_.front());
    queue_.pop_front();
    return batch;
  }

  std::shared_ptr<Batch> make_batch() {
    extend();
    std::shared_ptr<Batch> batch = take_front();
    if (!batch) return nullptr;
    for (Slot& slot : batch->slots) fill(source_, slot);
    return batch;
  }

  std::shared_ptr<Batch> wait_for_batch() {
    std::unique_lock lock(mutex_);
    if (queue_.empty()) extend();
    // The front batch may be made whatever memory is in use: tell workers that wait for some.
    may_work_.notify_all();
    is_made_.wait(lock, [&] { return queue_.empty() || queue_.front()->is_complete(); });
    std::shared_ptr<Batch> batch = take_front();
    if (batch) {
      for (const Slot& slot : batch->slots) {
        if (slot.sample) bytes_ahead_ -= sample_bytes(*slot.sample);
      }
    }
    may_work_.notify_all();
    return batch;
  }

  // The first batch with a slot that nobody has taken and that may be made now.
  std::shared_ptr<Batch> find_work() {
    for (std::size_t i = 0;; ++i) {
      const bool is_far = bytes_ahead_ >= max_bytes_ || i >= kMostBatchesAhead;
      if (i > 0 && is_far) return nullptr;
      if (i == queue_.size() && !extend()) return nullptr;
      if (queue_[i]->num_taken < queue_[i]->slots.size()) return queue_[i];
    }
  }

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      std::shared_ptr<Batch> batch;
      may_work_.wait(lock, stop, [&] {
        batch = find_work();
        return batch != nullptr;
      });
      if (stop.stop_requested()) return;
      Slot& slot = batch->slots[batch->num_taken++];
      lock.unlock();
      fill(source_, slot);
      const std::size_t bytes = slot.sample ? sample_bytes(*slot.sample) : 0;
      lock.lock();
      bytes_ahead_ += bytes;
      ++batch->num_done;
      if (batch->is_complete()) is_made_.notify_all();
    }
  }

  SampleSource& source_;
  BatchStream stream_;
  std::size_t max_bytes_;
  bool is_over_ = false;  ///< for the consumer

  std::mutex mutex_;  ///< guards what follows while there are workers
  std::condition_variable_any may_work_;
  std::condition_variable_any is_made_;
  std::deque<std::shared_ptr<Batch>> queue_;
  std::size_t bytes_ahead_ = 0;
  bool is_stream_over_ = false;
  std::exception_ptr stream_error_;
  std::vector<std::jthread> workers_;  ///< last: joined before the rest goes
};

Loader::Loader(SampleSource& source, BatchStream batches, const LoaderOptions& options) {
  if (options.num_workers < 0) {
    fail(ErrorCode::kInvalidArgument, "--dataloader_num_workers is {}, expected 0 or more",
         options.num_workers);
  }
  pipeline_ = std::make_unique<Pipeline>(source, std::move(batches), options);
}

Loader::~Loader() = default;

std::optional<std::vector<Sample>> Loader::next() { return pipeline_->next(); }

}  // namespace llava::data

// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/downloader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "llava/core/log.h"
#include "llava/hub/chunk.h"
#include "llava/hub/content_download.h"
#include "llava/hub/hub_api.h"
#include "llava/hub/patience.h"

namespace llava::hub {
namespace {

constexpr auto kReportInterval = std::chrono::milliseconds(100);
constexpr auto kLockInterval = std::chrono::milliseconds(200);
// So much is progress, after which failures before it do not count any more.
constexpr uint64_t kProgressBytes = 64 << 10;

using ContentPtr = std::shared_ptr<ContentDownload>;

class Downloader {
 public:
  Downloader(const HubSettings& settings, const RepoCache& cache, const DownloadRequest& request)
      : settings_(settings), cache_(cache), repo_(request.repo), commit_(request.commit) {
    std::set<std::string> blobs;
    for (const RepoFile& file : request.files) {
      if (blobs.insert(file.blob).second) waiting_.push_back(file);
    }
    std::ranges::stable_sort(waiting_, std::greater<>(),
                             [](const auto& file) { return *file.size; });
    num_left_ = waiting_.size();
    for (const RepoFile& file : waiting_) total_ += *file.size;
  }

  void run(const ProgressCallback& on_progress) {
    cache_.make_folders();
    require_room();
    {
      std::vector<std::jthread> workers;
      for (int i = 0; i < settings_.max_connections; ++i) workers.emplace_back([this] { work(); });
      report(on_progress);
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct Task {
    std::optional<RepoFile> new_file;
    ContentPtr content;
    Chunk chunk;
  };

  void require_room() const {
    uint64_t missing = 0;
    for (const RepoFile& file : waiting_) {
      if (cache_.has_blob(file.blob)) continue;
      std::error_code error;
      const auto there = std::filesystem::file_size(cache_.partial(file.blob), error);
      missing += *file.size - (error ? 0 : std::min<uint64_t>(there, *file.size));
    }
    hub::require_room(cache_.blobs(), missing);
  }

  // On the caller's thread until all is done or something has failed.
  void report(const ProgressCallback& on_progress) {
    std::unique_lock lock(mutex_);
    bool is_over = false;
    while (!is_over) {
      is_over = changed_.wait_for(lock, kReportInterval,
                                  [this] { return num_left_ == 0 || error_ != nullptr; });
      if (!on_progress) continue;
      lock.unlock();
      on_progress(std::min(done_.load(), total_), total_);
      lock.lock();
    }
  }

  void work() {
    try {
      HubClient client(settings_, stop_.get_token());
      while (auto task = next_task()) {
        if (task->new_file) {
          begin(*task->new_file);
        } else {
          fetch(client, *task->content, task->chunk);
          write(task->content);
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stop_.request_stop();
      changed_.notify_all();
    }
  }

  // What is begun goes before what is not: whoever holds a lock then gets on, and two processes
  // that fetch the same files in another order do not wait for each other.
  std::optional<Task> next_task() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (stop_.stop_requested() || num_left_ == 0) return std::nullopt;
      if (auto task = take_chunk()) return task;
      if (!waiting_.empty()) {
        Task task{.new_file = waiting_.front(), .content = {}, .chunk = {}};
        waiting_.pop_front();
        return task;
      }
      changed_.wait(lock);
    }
  }

  std::optional<Task> take_chunk() {
    std::size_t num_chunks = 0;
    for (const ContentPtr& content : open_) num_chunks += content->num_chunks();
    // Memory: as many chunks may wait as may be fetched.
    const bool may_wait = num_chunks < 2 * static_cast<std::size_t>(settings_.max_connections);
    for (const ContentPtr& content : open_) {
      if (const auto chunk = content->take_chunk(may_wait)) {
        return Task{.new_file = std::nullopt, .content = content, .chunk = *chunk};
      }
    }
    return std::nullopt;
  }

  void begin(const RepoFile& file) {
    std::optional<FileLock> file_lock;
    if (!cache_.has_blob(file.blob)) {
      file_lock = FileLock::try_lock(cache_.lock(file.blob));
      if (!file_lock) return try_later(file);
    }
    // Another process may have finished it before the lock was ours.
    if (cache_.has_blob(file.blob)) {
      file_lock.reset();
      cache_.drop_partial(file.blob);
      done_ += *file.size;
      return end_file();
    }
    const auto content = std::make_shared<ContentDownload>(cache_, file, std::move(*file_lock));
    done_ += content->written();
    {
      const std::lock_guard lock(mutex_);
      open_.push_back(content);
      changed_.notify_all();
    }
    write(content);
  }

  void try_later(const RepoFile& file) {
    std::unique_lock lock(mutex_);
    if (!std::exchange(has_waited_, true)) log_info("waiting_for_lock", {{"file", file.path}});
    waiting_.push_back(file);
    // The system tells nobody that a lock is free.
    changed_.wait_for(lock, kLockInterval);
  }

  // Writes what can be written, and finishes the file when that is all.
  void write(const ContentPtr& content) {
    std::unique_lock lock(mutex_);
    while (const auto bytes = content->begin_write()) {
      lock.unlock();
      content->write(*bytes);
      lock.lock();
      content->end_write();
      changed_.notify_all();
    }
    if (!content->is_whole() || std::ranges::find(open_, content) == open_.end()) return;
    std::erase(open_, content);
    lock.unlock();
    if (content->verify()) return end_file();
    lock.lock();
    content->start_over();
    done_ -= content->size();
    open_.push_back(content);
    changed_.notify_all();
  }

  void end_file() {
    const std::lock_guard lock(mutex_);
    --num_left_;
    changed_.notify_all();
  }

  std::string address_of(ContentDownload& content) {
    const std::lock_guard lock(mutex_);
    if (!content.location.empty()) return content.location;
    return file_url(settings_, repo_, commit_, content.file().path);
  }

  void set_location(ContentDownload& content, const std::string& location) {
    const std::lock_guard lock(mutex_);
    content.location = location;
  }

  void fetch(HubClient& client, ContentDownload& content, const Chunk& chunk);
  void explain(ContentDownload& content, const HubRequest& request, const std::string& what,
               HubAnswer& answer);

  const HubSettings& settings_;
  const RepoCache& cache_;
  const std::string& repo_;
  const std::string& commit_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_{0};
  std::stop_source stop_;

  std::mutex mutex_;  ///< protects what follows
  std::condition_variable_any changed_;
  std::deque<RepoFile> waiting_;
  std::vector<ContentPtr> open_;
  std::size_t num_left_ = 0;
  bool has_waited_ = false;
  std::exception_ptr error_;
};

void Downloader::fetch(HubClient& client, ContentDownload& content, const Chunk& chunk) {
  const std::string what = fmt::format("'{}' of '{}'", content.file().path, repo_);
  std::string bytes;
  if (!chunk.is_streamed) bytes.reserve(chunk.end - chunk.begin);
  ChunkReceiver receiver(chunk, content.size(), [&](std::string_view part) {
    if (chunk.is_streamed) {
      content.write(part);
    } else {
      bytes += part;
    }
    done_ += part.size();
  });
  Patience patience(stop_.get_token());
  uint64_t last_progress = chunk.begin;
  while (!receiver.is_done()) {
    HubRequest request;
    request.url = address_of(content);
    if (receiver.needs_range()) {
      request.begin = receiver.at();
      request.end = chunk.end;
    }
    request.on_bytes = [&](const ResponseHead& head, std::string_view part) {
      return receiver.take(head, part);
    };
    receiver.begin_answer();
    HubAnswer answer = client.send(request);
    if (receiver.found_no_ranges()) break;
    if (answer.is_ok() && answer.url != request.url) set_location(content, answer.url);
    if (receiver.is_done()) break;
    explain(content, request, what, answer);
    if (receiver.at() - last_progress >= kProgressBytes) {
      patience.renew();
      last_progress = receiver.at();
    }
    patience.wait(answer, what);
  }
  const std::lock_guard lock(mutex_);
  if (receiver.found_no_ranges()) done_ -= content.stop_using_ranges();
  if (chunk.is_streamed) {
    content.end_write();
  } else {
    if (!content.uses_ranges()) done_ -= bytes.size();
    content.keep(chunk, std::move(bytes));
  }
  changed_.notify_all();
}

// Says why the answer did not bring everything, unless that is for the user to change.
void Downloader::explain(ContentDownload& content, const HubRequest& request,
                         const std::string& what, HubAnswer& answer) {
  if (answer.is_ok()) answer.error = "the answer ended early";
  if (request.url == file_url(settings_, repo_, commit_, content.file().path)) {
    if (answer.error.empty() && !is_worth_another_try(answer)) {
      fail_for_status(settings_, repo_, what, answer);
    }
    return;
  }
  // Addresses of other hosts are made for a while: the hub gives a new one.
  set_location(content, "");
  if (answer.error.empty() && !is_worth_another_try(answer)) {
    answer.error = fmt::format("its address is not valid any more ({})", failure_text(answer));
  }
}

}  // namespace

void download(const HubSettings& settings, const RepoCache& cache, const DownloadRequest& request,
              const ProgressCallback& on_progress) {
  Downloader(settings, cache, request).run(on_progress);
}

}  // namespace llava::hub

// SPDX-License-Identifier: Apache-2.0
//
// BatchRunner: answers batches, a few requests at a time, beside everything else that the server
// does.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/serve/batches/batch.h"
#include "llava/serve/files/file_store.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Batches are in memory, as their files are; the last thousand are remembered.
///
/// Threads: safe.
class BatchRunner {
 public:
  /// `router` answers the requests; it and `files` outlive the runner.
  BatchRunner(Router& router, FileStore& files);
  ~BatchRunner();
  BatchRunner(const BatchRunner&) = delete;
  BatchRunner& operator=(const BatchRunner&) = delete;

  /// Begins to answer a file for whoever sends `call`. A file that is no batch makes one that has
  /// failed.
  Batch create(const RouteCall& call, const StoredFile& input, std::string endpoint,
               OrderedJson metadata);
  std::optional<Batch> find(const std::string& owner, const std::string& id) const;
  /// The newest first.
  std::vector<Batch> list(const std::string& owner) const;
  /// What is under way is ended; what has been answered stays. Nothing when there is no such batch.
  std::optional<Batch> cancel(const std::string& owner, const std::string& id);

  /// Whether no batch is under way.
  bool is_idle() const;
  /// Gives up what is under way.
  void stop();

 private:
  class Run;

  /// Changes a batch that clients see.
  template <class Function>
  void update(const std::string& id, Function function);
  void forget_oldest();

  Router& router_;
  FileStore& files_;
  Guarded<std::map<std::string, Batch>> batches_;
  /// Runs live on its one thread.
  boost::asio::thread_pool executor_{1};
  std::map<std::string, std::shared_ptr<Run>> runs_;
};

}  // namespace llava::serve

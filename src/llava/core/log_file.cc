// SPDX-License-Identifier: Apache-2.0
#include "llava/core/log_file.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "llava/core/error.h"

namespace llava {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using std::chrono::floor;
using std::chrono::system_clock;

std::optional<system_clock::time_point> time_of_last_write(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return system_clock::from_time_t(status.st_mtime);
}

}  // namespace

LogFile::LogFile(LogFileOptions options, Time now) : options_(std::move(options)), out_(-1) {
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (error) {
    fail(ErrorCode::kNotFound, "cannot make the folder '{}' for the log: {}",
         options_.folder.string(), error.message());
  }
  const auto last = time_of_last_write(path());
  day_ = floor<days>(last.value_or(now));
  if (day_ < floor<days>(now)) {
    rotate(floor<days>(now));
  } else {
    out_ = open();
  }
  remove_old(now);
}

Descriptor LogFile::open() const {
  Descriptor out(::open(path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (out.get() < 0) {
    fail(ErrorCode::kNotFound, "cannot open '{}' for the log: {}", path().string(),
         std::strerror(errno));
  }
  return out;
}

void LogFile::rotate(Days today) {
  fs::path ended = path();
  ended += fmt::format(".{:%Y-%m-%d}", fmt::gmtime(system_clock::to_time_t(day_)));
  std::error_code ignored;
  // One that is there already keeps what it has.
  if (!fs::exists(ended, ignored)) fs::rename(path(), ended, ignored);
  day_ = today;
  out_ = open();
}

void LogFile::remove_old(Time now) const {
  if (options_.keep_days == 0) return;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(options_.family) || name == options_.file) continue;
    if (name.find(".log") == std::string::npos) continue;
    const auto last = time_of_last_write(entry.path());
    if (!last || now - *last <= days(options_.keep_days)) continue;
    std::error_code ignored;
    fs::remove(entry.path(), ignored);
  }
}

void LogFile::write(std::string_view line, Time now) {
  if (const Days today = floor<days>(now); today > day_) {
    try {
      rotate(today);
    } catch (const Error&) {
      // The file of yesterday is still open.
      day_ = today;
    }
    remove_old(now);
  }
  const std::string text = std::string(line) + "\n";
  [[maybe_unused]] const ssize_t count = ::write(out_.get(), text.data(), text.size());
}

}  // namespace llava

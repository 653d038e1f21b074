// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/conversation_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <system_error>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"
#include "llava/image/decode.h"
#include "llava/serve/legacy/wire_json.h"

namespace llava::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileSuffix = "-conv.json";
constexpr std::size_t kDayLength = 10;

std::string local_day(ConversationLog::Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return fmt::format("{:%Y-%m-%d}", parts);
}

bool is_day(std::string_view text) {
  if (text.size() != kDayLength) return false;
  for (std::size_t i = 0; i < kDayLength; ++i) {
    const bool is_right = i == 4 || i == 7 ? text[i] == '-' : text[i] >= '0' && text[i] <= '9';
    if (!is_right) return false;
  }
  return true;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  if (error || !fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "cannot make the folder '{}' for the conversation log: {}",
         folder.string(), error ? error.message() : "something else has its name");
  }
}

}  // namespace

ConversationLog::ConversationLog(fs::path folder, int32_t retention_days, Time now)
    : folder_(std::move(folder)), retention_days_(retention_days) {
  make_folder(folder_);
  begin_day(now);
}

std::string ConversationLog::begin_day(Time now) {
  std::string day = local_day(now);
  const bool is_new = last_day_.with([&](std::string& last) {
    if (last == day) return false;
    last = day;
    return true;
  });
  if (is_new && retention_days_ > 0) remove_old(now);
  return day;
}

void ConversationLog::remove_old(Time now) const {
  const std::string first_kept = local_day(now - std::chrono::hours(24) * retention_days_);
  const auto remove_from = [&](const fs::path& folder, std::string_view suffix) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      if (!name.ends_with(suffix)) continue;
      const std::string_view day = std::string_view(name).substr(0, name.size() - suffix.size());
      if (!is_day(day) || day >= first_kept) continue;
      fs::remove_all(entry.path(), error);
      if (error) {
        log_warning("retention", {{"path", entry.path().string()}, {"error", error.message()}});
      }
    }
  };
  remove_from(folder_, kFileSuffix);
  remove_from(folder_ / "serve_images", "");
}

void ConversationLog::append(const OrderedJson& entry, Time now) {
  const fs::path path = folder_ / (begin_day(now) + std::string(kFileSuffix));
  const std::string line = record_json(entry) + "\n";
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    fail(ErrorCode::kResourceExhausted, "cannot open '{}': {}", path.string(),
         std::strerror(errno));
  }
  const ssize_t written = ::write(file, line.data(), line.size());
  const int reason = written < 0 ? errno : ENOSPC;
  ::close(file);
  if (written != static_cast<ssize_t>(line.size())) {
    fail(ErrorCode::kResourceExhausted, "cannot write to '{}': {}", path.string(),
         std::strerror(reason));
  }
}

std::string ConversationLog::save_picture(const image::RgbImage& picture, Time now) {
  const fs::path folder = folder_ / "serve_images" / begin_day(now);
  std::string name = picture_name(picture);
  const fs::path path = folder / (name + ".png");
  picture_turn_.with([&](int&) {
    make_folder(folder);
    if (!fs::exists(path)) write_file_atomically(path, image::encode_png(picture));
  });
  return name;
}

std::string anonymized_address(const std::string& address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(address, error);
  if (error) return {};
  if (parsed.is_v4()) {
    auto bytes = parsed.to_v4().to_bytes();
    bytes[3] = 0;
    return boost::asio::ip::address_v4(bytes).to_string();
  }
  auto bytes = parsed.to_v6().to_bytes();
  // An IPv4 address in IPv6's form has all that tells its user at the end.
  const std::size_t num_kept = parsed.to_v6().is_v4_mapped() ? 15 : 6;
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(num_kept), bytes.end(),
            static_cast<unsigned char>(0));
  return boost::asio::ip::address_v6(bytes).to_string();
}

}  // namespace llava::serve

// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/partial_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "llava/core/check.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSyncBytes = 64 << 20;
constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::size_t kSha1Digits = 40;
constexpr double kMiB = 1024.0 * 1024.0;

uint64_t free_bytes(const fs::path& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  return error ? UINT64_MAX : space.available;
}

[[noreturn]] void fail_for_room(const fs::path& folder, uint64_t needed, uint64_t available) {
  const uint64_t missing = needed > available ? needed - available : 0;
  fail(ErrorCode::kResourceExhausted,
       "'{}' needs {:.1f} MiB more and has {:.1f} MiB: {:.1f} MiB are missing: make room ('llava "
       "list', "
       "'llava rm') or set HF_HOME to another disk; what has come is kept",
       folder.string(), static_cast<double>(needed) / kMiB, static_cast<double>(available) / kMiB,
       static_cast<double>(missing) / kMiB);
}

}  // namespace

/// SHA-256, or SHA-1 as git takes it of a file: of "blob SIZE", a zero byte, and the content.
class PartialFile::Hash {
 public:
  Hash(const std::string& blob, uint64_t size) : is_git_(blob.size() == kSha1Digits), size_(size) {
    start();
  }

  void start() {
    LLAVA_CHECK(context_ && EVP_DigestInit_ex(context_.get(), is_git_ ? EVP_sha1() : EVP_sha256(),
                                              nullptr) == 1);
    if (!is_git_) return;
    std::string head = fmt::format("blob {}", size_);
    head.push_back('\0');
    update(head);
  }
  void update(std::string_view bytes) {
    LLAVA_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  std::string finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    LLAVA_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1);
    std::string text;
    for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   &EVP_MD_CTX_free};
  bool is_git_;
  uint64_t size_;
};

PartialFile::PartialFile(fs::path path, uint64_t size, std::string blob)
    : path_(std::move(path)),
      size_(size),
      blob_(std::move(blob)),
      hash_(std::make_unique<Hash>(blob_, size)) {
  descriptor_.number = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  struct stat status {};
  if (descriptor_.number < 0 || ::fstat(descriptor_.number, &status) != 0) fail_with(errno);
  const auto length = static_cast<uint64_t>(status.st_size);
  if (length > size_) {
    clear();
    return;
  }
  std::vector<char> buffer(kReadBytes);
  while (length_ < length) {
    const ssize_t count =
        ::pread(descriptor_.number, buffer.data(), buffer.size(), static_cast<off_t>(length_));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_with(count < 0 ? errno : EIO);
    hash_->update({buffer.data(), static_cast<std::size_t>(count)});
    length_ += static_cast<uint64_t>(count);
  }
}

PartialFile::~PartialFile() = default;

PartialFile::Descriptor::~Descriptor() {
  if (number >= 0) ::close(number);
}

void PartialFile::fail_with(int error) {
  // EFBIG: a limit of this process or of the file system.
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    fail_for_room(path_.parent_path(), size_ - length_, free_bytes(path_.parent_path()));
  }
  fail(ErrorCode::kResourceExhausted,
       "cannot use '{}': {}: check the folder's permissions and disk", path_.string(),
       std::strerror(error));
}

void PartialFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(descriptor_.number, bytes.data(), bytes.size(), static_cast<off_t>(length_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with(errno);
    const auto num_written = static_cast<std::size_t>(count);
    hash_->update(bytes.substr(0, num_written));
    bytes.remove_prefix(num_written);
    length_ += num_written;
    num_unsynced_ += num_written;
  }
}

void PartialFile::append(std::string_view bytes) {
  LLAVA_CHECK(bytes.size() <= size_ - length_);
  write(bytes);
  if (num_unsynced_ >= kSyncBytes) sync();
}

void PartialFile::sync() {
  if (::fdatasync(descriptor_.number) != 0) fail_with(errno);
  num_unsynced_ = 0;
}

std::string PartialFile::finish_hash() { return hash_->finish(); }

void PartialFile::clear() {
  if (::ftruncate(descriptor_.number, 0) != 0) fail_with(errno);
  length_ = 0;
  num_unsynced_ = 0;
  hash_->start();
}

void PartialFile::move_to(const fs::path& target) {
  sync();
  if (::rename(path_.c_str(), target.c_str()) != 0) fail_with(errno);
}

void require_room(const fs::path& folder, uint64_t bytes) {
  const uint64_t available = free_bytes(folder);
  if (bytes > available) fail_for_room(folder, bytes, available);
}

}  // namespace llava::hub

// SPDX-License-Identifier: Apache-2.0
//
// The prefix tree against a naive map from whole prefixes to pages, under random requests that
// match, grow, fork, finish, pin and evict (serving 7.9, E9).
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/random.h"
#include "llava/engine/prefix_tree.h"

namespace llava::engine {
namespace {

constexpr int32_t kPages = 120;
constexpr std::size_t kMaxRequests = 12;

// One page under its prefix: the scope and one letter for every symbol up to the page's end.
struct CachedPage {
  int32_t page = 0;
  int holders = 0;
  int num_children = 0;
  uint64_t last_used = 0;
};

struct Request {
  std::string letters;  // scope first
  std::vector<int32_t> pages;
  PrefixLock lock;
};

Symbol symbol_of(char letter) {
  // Upper-case letters stand for rows of a picture.
  if (letter >= 'A' && letter <= 'Z') return {.image = 1, .value = letter};
  return {.image = 0, .value = letter};
}

class Naive {
 public:
  explicit Naive(int32_t page_size) : page_size_(static_cast<std::size_t>(page_size)) {}

  std::string prefix(const std::string& letters, int32_t num_pages) const {
    return letters.substr(0, 1 + static_cast<std::size_t>(num_pages) * page_size_);
  }
  CachedPage* find(const std::string& letters, int32_t num_pages) {
    const auto it = pages_.find(prefix(letters, num_pages));
    return it == pages_.end() ? nullptr : &it->second;
  }
  int32_t match(const std::string& letters, int32_t max_pages) {
    int32_t found = 0;
    while (found < max_pages && find(letters, found + 1) != nullptr) ++found;
    return found;
  }
  void add(const std::string& letters, int32_t num_pages, int32_t page) {
    pages_[prefix(letters, num_pages)] = {.page = page};
    if (num_pages > 1) ++find(letters, num_pages - 1)->num_children;
  }
  void hold(const std::string& letters, int32_t begin, int32_t end) {
    for (int32_t i = begin; i < end; ++i) ++find(letters, i + 1)->holders;
  }
  void let_go(const std::string& letters, int32_t num_pages) {
    ++clock_;
    for (int32_t i = 0; i < num_pages; ++i) {
      CachedPage* page = find(letters, i + 1);
      --page->holders;
      page->last_used = clock_;
    }
  }
  // The page that must go next.
  std::optional<int32_t> evict() {
    auto oldest = pages_.end();
    for (auto it = pages_.begin(); it != pages_.end(); ++it) {
      if (it->second.holders > 0 || it->second.num_children > 0) continue;
      if (oldest == pages_.end() || it->second.last_used < oldest->second.last_used) oldest = it;
    }
    if (oldest == pages_.end()) return std::nullopt;
    const std::string key = oldest->first;
    const int32_t page = oldest->second.page;
    pages_.erase(oldest);
    const auto num_pages = static_cast<int32_t>((key.size() - 1) / page_size_);
    if (num_pages > 1) --find(key, num_pages - 1)->num_children;
    return page;
  }
  int32_t num_pages() const { return static_cast<int32_t>(pages_.size()); }
  int32_t num_evictable() const {
    int32_t count = 0;
    for (const auto& [key, page] : pages_) count += page.holders == 0 ? 1 : 0;
    return count;
  }
  const std::map<std::string, CachedPage>& pages() const { return pages_; }

 private:
  std::size_t page_size_;
  std::map<std::string, CachedPage> pages_;
  uint64_t clock_ = 0;
};

class Trial {
 public:
  Trial(uint64_t seed, int32_t page_size)
      : generator_(seed), page_size_(page_size), blocks_(kPages, page_size), naive_(page_size) {}

  void run(int num_operations) {
    for (int i = 0; i < num_operations && !testing::Test::HasFatalFailure(); ++i) {
      SCOPED_TRACE(testing::Message() << "operation " << i);
      step();
      compare(i % 64 == 0);
    }
    if (testing::Test::HasFatalFailure()) return;
    while (!requests_.empty()) finish();
    while (!pins_.empty()) unpin(pins_.begin()->first);
    ASSERT_EQ(tree_.num_evictable(), tree_.num_pages());
    tree_.evict(kPages);
    ASSERT_EQ(blocks_.num_used(), 0) << "pages leaked";
  }

 private:
  void step() {
    switch (generator_.below(8)) {
      case 0:
      case 1:
        return start();
      case 2:
      case 3:
        return grow();
      case 4:
        return finish();
      case 5:
        return fork();
      case 6:
        return evict(static_cast<int32_t>(generator_.below(6)));
      default:
        return change_pin();
    }
  }

  // A prompt like one seen before, cut or changed somewhere: what makes trees branch.
  std::string random_letters() {
    std::string letters;
    if (!history_.empty()) letters = history_[generator_.below(history_.size())];
    if (letters.empty()) letters = generator_.below(2) == 0 ? "x" : "y";
    if (generator_.below(2) == 0) letters.resize(1 + generator_.below(letters.size()));
    if (letters.size() > 1 && generator_.below(3) == 0) {
      letters[generator_.below(letters.size())] = random_letter();
      letters[0] = letters[0] == 'x' ? 'x' : 'y';
    }
    append_letters(letters);
    if (history_.size() < 40) {
      history_.push_back(letters);
    } else {
      history_[generator_.below(40)] = letters;
    }
    return letters;
  }
  char random_letter() { return "abAB"[generator_.below(4)]; }
  void append_letters(std::string& letters) {
    const auto most = static_cast<uint64_t>(4 * page_size_);
    const uint64_t count = 1 + generator_.below(most);
    const std::size_t longest = static_cast<std::size_t>(12 * page_size_);
    // Runs of one letter: long common parts at every page size.
    const char letter = random_letter();
    for (uint64_t i = 0; i < count && letters.size() <= longest; ++i) letters.push_back(letter);
  }

  static std::vector<Symbol> symbols_of(const std::string& letters) {
    std::vector<Symbol> symbols;
    for (std::size_t i = 1; i < letters.size(); ++i) symbols.push_back(symbol_of(letters[i]));
    return symbols;
  }
  int32_t num_full(const std::string& letters) const {
    return static_cast<int32_t>(letters.size() - 1) / page_size_;
  }

  void start() {
    if (requests_.size() == kMaxRequests) return;
    Request request{.letters = random_letters(), .pages = {}, .lock = {}};
    const auto symbols = symbols_of(request.letters);
    const auto max_pages = static_cast<int32_t>(symbols.size() - 1) / page_size_;
    const int32_t expected = naive_.match(request.letters, max_pages);
    const std::string scope(1, request.letters[0]);
    ASSERT_EQ(tree_.peek(scope, symbols), expected * page_size_);
    request.lock = tree_.match(scope, symbols, request.pages);
    ASSERT_EQ(request.lock.num_pages, expected);
    ASSERT_EQ(request.pages.size(), static_cast<std::size_t>(expected));
    for (int32_t i = 0; i < expected; ++i) {
      ASSERT_EQ(request.pages[static_cast<std::size_t>(i)],
                naive_.find(request.letters, i + 1)->page);
    }
    naive_.hold(request.letters, 0, expected);
    requests_.push_back(std::move(request));
    fill(requests_.back());
  }

  // Computes what is not cached, as far as there is room, and inserts it.
  void fill(Request& request) {
    const auto total = static_cast<int64_t>(request.letters.size()) - 1;
    while (static_cast<int32_t>(request.pages.size()) < blocks_.pages_for(total)) {
      if (blocks_.num_free() == 0) evict(1);
      if (blocks_.num_free() == 0) {
        // No room: the request goes on with what fits.
        request.letters =
            naive_.prefix(request.letters, static_cast<int32_t>(request.pages.size()));
        break;
      }
      request.pages.push_back(blocks_.allocate());
    }
    const int32_t first = request.lock.num_pages;
    const int32_t end = num_full(request.letters);
    std::vector<int32_t> expected = request.pages;
    for (int32_t i = first; i < end; ++i) {
      int32_t& page = expected[static_cast<std::size_t>(i)];
      if (const CachedPage* known = naive_.find(request.letters, i + 1)) {
        page = known->page;
      } else {
        naive_.add(request.letters, i + 1, page);
      }
    }
    naive_.hold(request.letters, first, end);
    tree_.insert(request.lock, symbols_of(request.letters), request.pages);
    ASSERT_EQ(request.lock.num_pages, end);
    ASSERT_EQ(request.pages, expected);
  }

  void grow() {
    if (requests_.empty()) return;
    Request& request = requests_[generator_.below(requests_.size())];
    append_letters(request.letters);
    fill(request);
  }

  void finish() {
    if (requests_.empty()) return;
    const auto which = static_cast<std::ptrdiff_t>(generator_.below(requests_.size()));
    Request request = std::move(requests_[static_cast<std::size_t>(which)]);
    requests_.erase(requests_.begin() + which);
    for (auto i = static_cast<std::size_t>(request.lock.num_pages); i < request.pages.size(); ++i) {
      blocks_.release(request.pages[i]);
    }
    naive_.let_go(request.letters, request.lock.num_pages);
    tree_.unlock(request.lock);
  }

  void fork() {
    if (requests_.empty() || requests_.size() == kMaxRequests) return;
    const Request& parent = requests_[generator_.below(requests_.size())];
    Request child = parent;
    child.lock = tree_.share(parent.lock);
    naive_.hold(child.letters, 0, child.lock.num_pages);
    // Full pages are shared; the child has no room of its own yet.
    child.letters = naive_.prefix(child.letters, child.lock.num_pages);
    child.pages.resize(static_cast<std::size_t>(child.lock.num_pages));
    requests_.push_back(std::move(child));
  }

  void evict(int32_t count) {
    std::vector<int32_t> expected;
    for (int32_t i = 0; i < count; ++i) {
      const auto page = naive_.evict();
      if (!page) break;
      expected.push_back(*page);
    }
    const int32_t free_before = blocks_.num_free();
    ASSERT_EQ(tree_.evict(count), static_cast<int32_t>(expected.size()));
    ASSERT_EQ(blocks_.num_free(), free_before + static_cast<int32_t>(expected.size()));
    for (const int32_t page : expected) {
      ASSERT_EQ(blocks_.references(page), 0) << "page " << page << " was to go";
    }
  }

  void change_pin() {
    const std::string name(1, static_cast<char>('p' + generator_.below(3)));
    if (generator_.below(2) == 0 || requests_.empty()) return unpin(name);
    const Request& request = requests_[generator_.below(requests_.size())];
    naive_.hold(request.letters, 0, request.lock.num_pages);
    const auto old = pins_.find(name);
    if (old != pins_.end()) {
      naive_.let_go(old->second.letters, old->second.lock.num_pages);
      pins_.erase(old);
    }
    tree_.pin(name, request.lock);
    pins_[name] = request;
  }
  void unpin(const std::string& name) {
    const auto pin = pins_.find(name);
    ASSERT_EQ(tree_.unpin(name), pin != pins_.end());
    if (pin == pins_.end()) return;
    naive_.let_go(pin->second.letters, pin->second.lock.num_pages);
    pins_.erase(name);
  }

  void compare(bool is_thorough) {
    ASSERT_EQ(tree_.num_pages(), naive_.num_pages());
    ASSERT_EQ(tree_.num_evictable(), naive_.num_evictable());
    int32_t num_own = 0;
    for (const Request& request : requests_) {
      num_own += static_cast<int32_t>(request.pages.size()) - request.lock.num_pages;
    }
    ASSERT_EQ(blocks_.num_used(), naive_.num_pages() + num_own);
    if (!is_thorough) return;
    tree_.check_consistency();
    for (const auto& [key, page] : naive_.pages()) ASSERT_EQ(blocks_.references(page.page), 1);
    for (const auto& [name, request] : pins_) {
      std::vector<Symbol> symbols;
      std::vector<int32_t> pages;
      ASSERT_NE(tree_.find_pin(name), nullptr);
      tree_.collect(*tree_.find_pin(name), symbols, pages);
      ASSERT_EQ(symbols, symbols_of(naive_.prefix(request.letters, request.lock.num_pages)));
    }
  }

  Generator generator_;
  int32_t page_size_;
  KvBlocks blocks_;
  PrefixTree tree_{blocks_};
  Naive naive_;
  std::vector<Request> requests_;
  std::map<std::string, Request> pins_;
  std::vector<std::string> history_;
};

class PrefixTreePropertyTest : public testing::TestWithParam<int32_t> {};

TEST_P(PrefixTreePropertyTest, AgreesWithANaiveMap) {
  constexpr int kSeeds = 5;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Trial(seed, GetParam()).run(LLAVA_PROPERTY_OPERATIONS / kSeeds);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(PageSizes, PrefixTreePropertyTest, testing::Values(1, 8, 16, 64),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace llava::engine

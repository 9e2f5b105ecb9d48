// The header in C++17: handles owned by unique_ptr, errors as exceptions, many threads on one database.
#include "test.h"

#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

template <typename T, void (*destroy)(T *)>
struct Destroy {
  void operator()(T *handle) const { destroy(handle); }
};
template <typename T, void (*destroy)(T *)>
using Owned = std::unique_ptr<T, Destroy<T, destroy>>;

using Database = Owned<auradb_t, auradb_close>;
using Options = Owned<auradb_options_t, auradb_options_destroy>;
using ReadOptions = Owned<auradb_readoptions_t, auradb_readoptions_destroy>;
using WriteOptions = Owned<auradb_writeoptions_t, auradb_writeoptions_destroy>;
using FlushOptions = Owned<auradb_flushoptions_t, auradb_flushoptions_destroy>;
using Batch = Owned<auradb_writebatch_t, auradb_writebatch_destroy>;
using Iterator = Owned<auradb_iterator_t, auradb_iter_destroy>;
using Pinned = Owned<auradb_pinnableslice_t, auradb_pinnableslice_destroy>;
using Family = Owned<auradb_column_family_handle_t, auradb_column_family_handle_destroy>;

// Throws what went wrong, if anything.
class Error {
 public:
  ~Error() { auradb_free(text_); }
  operator char **() { return &text_; }
  void check() {
    if (text_ != nullptr) throw std::runtime_error(text_);
  }

 private:
  char *text_ = nullptr;
};

class Store {
 public:
  Store(const char *path, const auradb_options_t *options)
      : read_(auradb_readoptions_create()), write_(auradb_writeoptions_create()) {
    Error error;
    db_.reset(auradb_open(options, path, error));
    error.check();
  }
  void put(std::string_view key, std::string_view value) {
    Error error;
    auradb_put(db_.get(), write_.get(), key.data(), key.size(), value.data(), value.size(), error);
    error.check();
  }
  void remove(std::string_view key) {
    Error error;
    auradb_delete(db_.get(), write_.get(), key.data(), key.size(), error);
    error.check();
  }
  std::optional<std::string> get(std::string_view key) const {
    Error error;
    Pinned value(auradb_get_pinned(db_.get(), read_.get(), key.data(), key.size(), error));
    error.check();
    if (!value) return std::nullopt;
    size_t len = 0;
    const char *bytes = auradb_pinnableslice_value(value.get(), &len);
    return std::string(bytes, len);
  }
  std::map<std::string, std::string> all() const {
    std::map<std::string, std::string> found;
    Iterator iter(auradb_create_iterator(db_.get(), read_.get()));
    for (auradb_iter_seek_to_first(iter.get()); auradb_iter_valid(iter.get()); auradb_iter_next(iter.get())) {
      size_t key_len = 0, len = 0;
      const char *key = auradb_iter_key(iter.get(), &key_len);
      const char *value = auradb_iter_value(iter.get(), &len);
      found.emplace(std::string(key, key_len), std::string(value, len));
    }
    Error error;
    auradb_iter_get_error(iter.get(), error);
    error.check();
    return found;
  }
  void flush() {
    Error error;
    FlushOptions options(auradb_flushoptions_create());
    auradb_flush(db_.get(), options.get(), error);
    error.check();
  }
  auradb_t *db() const { return db_.get(); }
  auradb_writeoptions_t *write() const { return write_.get(); }

 private:
  Database db_;
  ReadOptions read_;
  WriteOptions write_;
};

Options small_options() {
  Options options(auradb_options_create());
  auradb_options_set_create_if_missing(options.get(), 1);
  auradb_options_set_write_buffer_size(options.get(), 128 << 10);
  auradb_options_set_separation_threshold(options.get(), 500);
  return options;
}

std::string random_value(unsigned long long *state) {
  const size_t sizes[] = {0, 1, 30, 499, 500, 3000};
  return std::string(sizes[next_random(state) % 6], static_cast<char>('a' + next_random(state) % 26));
}

void exceptions() {
  phase("errors as exceptions");
  bool thrown = false;
  try {
    Options options(auradb_options_create());
    Store store(path_of("missing"), options.get());
  } catch (const std::runtime_error &error) {
    thrown = std::string_view(error.what()).rfind("Invalid argument: ", 0) == 0;
  }
  CHECK(thrown);
}

// Random operations give what a std::map gives, across flushes and reopening.
void model() {
  phase("as a std::map");
  const char *given = getenv("AURADB_SEED");
  const unsigned long long seed = given != nullptr ? strtoull(given, nullptr, 0) : 20240607;
  unsigned long long state = seed | 1;
  printf("AURADB_SEED=%llu\n", seed);
  const std::string path = path_of("model");
  std::map<std::string, std::string> expected;
  Options options = small_options();
  for (int round = 0; round < 4; round++) {
    Store store(path.c_str(), options.get());
    CHECK(store.all() == expected);
    for (int i = 0; i < 3000; i++) {
      const std::string key = "key" + std::to_string(next_random(&state) % 500);
      switch (next_random(&state) % 10) {
        case 0: case 1: case 2: case 3: case 4: {
          const std::string value = random_value(&state);
          store.put(key, value);
          expected[key] = value;
          break;
        }
        case 5: case 6:
          store.remove(key);
          expected.erase(key);
          break;
        case 7:
          if (next_random(&state) % 100 == 0) store.flush();
          break;
        default: {
          const auto found = expected.find(key);
          const auto got = store.get(key);
          CHECK(got.has_value() == (found != expected.end()));
          if (got.has_value() && found != expected.end()) CHECK(*got == found->second);
        }
      }
    }
    CHECK(store.all() == expected);
  }
}

// Each thread has its own keys; a batch is seen whole or not at all.
void threads() {
  phase("many threads on one database");
  Options options = small_options();
  Store store(path_of("threads"), options.get());
  constexpr int kWriters = 4, kRounds = 400;
  std::vector<std::thread> workers;
  std::vector<int> torn(kWriters, 0);
  for (int id = 0; id < kWriters; id++) {
    workers.emplace_back([&store, id] {
      const std::string one = "a" + std::to_string(id), two = "b" + std::to_string(id);
      for (int round = 0; round < kRounds; round++) {
        const std::string value = std::to_string(round) + std::string(round % 3 * 400, 'x');
        Batch batch(auradb_writebatch_create());
        auradb_writebatch_put(batch.get(), one.data(), one.size(), value.data(), value.size());
        auradb_writebatch_put(batch.get(), two.data(), two.size(), value.data(), value.size());
        Error error;
        auradb_write(store.db(), store.write(), batch.get(), error);
        error.check();
      }
    });
    workers.emplace_back([&store, &torn, id] {
      const std::string one = "a" + std::to_string(id), two = "b" + std::to_string(id);
      for (int round = 0; round < kRounds; round++) {
        std::string_view keys[] = {one, two};
        const char *starts[] = {keys[0].data(), keys[1].data()};
        size_t lens[] = {keys[0].size(), keys[1].size()}, sizes[2];
        char *values[2], *errors[2];
        ReadOptions read(auradb_readoptions_create());
        auradb_multi_get(store.db(), read.get(), 2, starts, lens, values, sizes, errors);
        const bool same = sizes[0] == sizes[1] && (sizes[0] == 0 || memcmp(values[0], values[1], sizes[0]) == 0);
        if (!same || errors[0] != nullptr || errors[1] != nullptr) torn[static_cast<size_t>(id)]++;
        for (int i = 0; i < 2; i++) auradb_free(values[i]), auradb_free(errors[i]);
      }
    });
  }
  for (auto &worker : workers) worker.join();
  for (int id = 0; id < kWriters; id++) {
    CHECK(torn[static_cast<size_t>(id)] == 0);
    const auto last = store.get("a" + std::to_string(id));
    CHECK(last.has_value() && last->rfind(std::to_string(kRounds - 1), 0) == 0);
  }
}

void families() {
  phase("column families in C++");
  Options options = small_options();
  Store store(path_of("families"), options.get());
  Error error;
  Family family(auradb_create_column_family(store.db(), options.get(), "second", error));
  error.check();
  auradb_put_cf(store.db(), store.write(), family.get(), "k", 1, "v", 1, error);
  error.check();
  CHECK(!store.get("k").has_value());
  size_t len = 0;
  char *name = auradb_column_family_handle_get_name(family.get(), &len);
  CHECK(std::string(name, len) == "second");
  auradb_free(name);
}

}  // namespace

int main() {
  begin("cpp");
  try {
    exceptions();
    model();
    threads();
    families();
  } catch (const std::exception &error) {
    printf("uncaught: %s\n", error.what());
    CHECK(!"no exception leaves a test");
  }
  return finish();
}

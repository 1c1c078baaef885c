#include "a.h"
using namespace std;
namespace shop {
template <typename T>
class Cart : public Base {
 public:
  Cart(int x) : x_(x) {}
  ~Cart();
  virtual int total() const override { return 1; }
  void add(const T& t);
  int operator+(int o) { return 1; }
 private:
  int x_ = 3;
};
template <class T> void Cart<T>::add(const T& t) { }
int Cart::total2() { return 3; }
enum class Kind { A };
using Id = int;
}
int main() { return 0; }

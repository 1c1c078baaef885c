package a.b;
import java.util.List;
public class C<T> extends D implements E {
  private static final int MAX = 3;
  public C(int x) { this.x = x; }
  @Override
  public List<T> items(String name) throws X { return null; }
  interface Inner { void go(); }
  enum Kind { A, B; int code() { return 1; } }
}

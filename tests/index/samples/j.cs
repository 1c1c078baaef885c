namespace A {
    public class Cart : Base {
        public int Total(string a)
        {
            return 1;
        }
        public async Task<int> Run() { return 1; }
    }
}

module Shop
  class Cart
    def add(item)
      1
    end
    def self.load
    end
  end
end
